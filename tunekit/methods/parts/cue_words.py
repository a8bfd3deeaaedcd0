"""PCT's templates by language: its layout, and the words for "question" and "answer" in it; whole ones for PAWS-X."""

from __future__ import annotations

__all__ = ["CUE_WORDS", "LAYOUTS", "PARAPHRASE", "PUBLISHED", "TEMPLATE"]

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
"""(question, answer): the published words for XNLI's languages; ja and ko have none there, theirs are ours."""
PUBLISHED = tuple(language for language in CUE_WORDS if language not in ("ja", "ko"))
"""The languages that have a published template for XNLI."""
PARAPHRASE: dict[str, str] = {
    "de": "{premise} | Frage:{hypothesis} paraphrasieren oder nicht? Antwort:{mask}",
    "en": "{premise} | Question:{hypothesis} paraphrase or not? Answer:{mask}",
    "es": "{premise} | Pregunta: {hypothesis} ¿parafrasear o no? Respuesta: {mask}",
    "fr": "{premise} | Question:{hypothesis} paraphrase ou pas? Réponse:{mask}",
    "ja": "{premise} | 質問：{hypothesis}言い換えるかどうか?回答：{mask}",
    "ko": "{premise} | 질문:{hypothesis} 의역 여부는? 답:{mask}",
    "zh": "{premise} | 问题：{hypothesis} 是否转述? 答案：{mask}",
}
"""The published templates for PAWS-X, which asks whether two sentences say the same."""
