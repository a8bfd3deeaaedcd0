"""PCT's templates by language: its layout, and the words for "question" and "answer" in it."""

from __future__ import annotations

__all__ = ["CUE_WORDS", "LAYOUTS", "PUBLISHED", "TEMPLATE"]

TEMPLATE = "{premise} | {question}:{hypothesis}? {answer}:{mask}"
"""The published layout of most languages."""
LAYOUTS: dict[str, str] = {
    "ar": "{premise} | {mask}:{question}:{hypothesis}؟ {answer}",
    "bg": "{premise} | {question}: {hypothesis}? {answer}:{mask}",
    "sw": "{premise} | {question}: {hypothesis}? {answer}: {mask}",
    "ur": "{premise} | {mask}:{question}: {hypothesis}؟ {answer}",
}
"""The published layouts of the others."""
CUE_WORDS: dict[str, tuple[str, str]] = {
    "ar": ("سؤال", "الجواب"),
    "bg": ("въпрос", "Отговор"),
    "de": ("frage", "Antwort"),
    "el": ("ερώτηση", "Απάντηση"),
    "en": ("question", "Answer"),
    "es": ("pregunta", "Respuesta"),
    "fr": ("question", "réponse"),
    "hi": ("प्रश्न", "उत्तर"),
    "ja": ("質問", "答え"),
    "ko": ("질문", "답변"),
    "ru": ("вопрос", "Ответ"),
    "sw": ("swali", "Jibu"),
    "th": ("คำถาม", "คำตอบ"),
    "tr": ("soru", "Cevap"),
    "ur": ("سوال", "جواب"),
    "vi": ("câu hỏi", "Trả lời"),
    "zh": ("问题", "答案"),
}
"""(question, answer): the published words for XNLI's languages; those of ja and ko are ours, for PAWS-X."""
PUBLISHED = tuple(language for language in CUE_WORDS if language not in ("ja", "ko"))
"""The languages that have a published template."""
