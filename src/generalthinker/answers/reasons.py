"""The complete list of reasons for a verdict: every `Grade.reason` is one of these."""

REASONS: dict[str, str] = {
    "equal_text": "correct: the same text after normalisation",
    "equal_value": "correct: the same value, set, tuple or expression",
    "letter": "correct: the letter of the right option",
    "option_text": "correct: the whole text of the right option",
    "different": "wrong: the answer differs from the reference",
    "not_an_option": "wrong: the last box contains neither the letter nor the whole text of an option",
    "no_box": r"wrong: the response has no \boxed{…}",
    "unbalanced_box": r"wrong: the last \boxed{ is not closed",
    "empty_box": "wrong: the last box is empty",
    "truncated": "wrong: the response was cut off by the token limit",
    "too_long": "wrong: the text differs from the reference and is too long to be compared as mathematics",
    "timeout": "wrong: the comparison exceeded the time limit and was stopped",
    "grader_error": "wrong: the comparison failed with an error or a crash",
}
