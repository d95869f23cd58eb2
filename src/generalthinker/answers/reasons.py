"""Why a response was judged as it was: the closed set that `Grade.reason` comes from."""

REASONS: dict[str, str] = {
    "equal_text": "correct: the same text after normalisation",
    "equal_value": "correct: the same value, set, tuple or expression",
    "letter": "correct: the right option's letter",
    "option_text": "correct: the right option's whole text",
    "different": "wrong: another answer",
    "not_an_option": "wrong: the box of a multiple-choice answer holds neither a letter nor an option's whole text",
    "no_box": r"wrong: no \boxed{…} in the response",
    "unbalanced_box": r"wrong: the last \boxed{ never closes",
    "empty_box": "wrong: nothing in the last box",
    "truncated": "wrong: the token limit ended the response",
    "too_long": "wrong: not the reference's text, and too long to be compared as mathematics",
    "timeout": "wrong: the comparison did not end in time and was killed",
    "grader_error": "wrong: the comparison failed with an error or a crash",
}
