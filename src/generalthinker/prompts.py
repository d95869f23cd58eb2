"""The two prompts of the paper, the question alone and together with its answer, and that of a verifier model."""

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
ANSWER_CONDITIONED_INSTRUCTION = r"Please reason step by step given the final answer within \boxed{}."
# The words that the released General-Reasoner verifier was trained with; it is given them without a chat template.
VERIFIER_INSTRUCTION = (
    "For the above question, please verify if the student's answer is equivalent to the ground truth answer.\n"
    "Do not solve the question by yourself; just check if the student's answer is equivalent to the ground truth "
    "answer.\n"
    "If the student's answer is correct, output \"Final Decision: Yes\". If the student's answer is incorrect, output "
    '"Final Decision: No". Assistant:'
)

Message = dict[str, str]


def question_messages(question: str) -> list[Message]:
    """Return the chat of prompt x: one user turn, no system message (the tokenizer's chat template may add its own)."""
    return [{"role": "user", "content": f"{question}\n{INSTRUCTION}"}]


def question_prompt(tokenizer, question: str) -> str:
    """Return prompt x as text: the chat template is applied, and the assistant's turn has begun."""
    return tokenizer.apply_chat_template(question_messages(question), tokenize=False, add_generation_prompt=True)


def answer_conditioned_prompt(tokenizer, question: str, answer: str) -> str:
    r"""Return prompt x̃ of equation 7 as text: the assistant's turn begins with `\boxed{answer}` and a newline."""
    messages = [{"role": "user", "content": f"{question}\n{ANSWER_CONDITIONED_INSTRUCTION}"}]
    opened = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return f"{opened}\\boxed{{{answer}}}\n"


def verifier_prompt(question: str, reference: str, answer: str | None) -> str:
    """Return what a verifier model reads about one answer; None stands for a response without an answer."""
    return (
        f"User: ### Question: {question}\n\n### Ground Truth Answer: {reference}\n\n### Student Answer: {answer}\n\n"
        f"{VERIFIER_INSTRUCTION}"
    )
