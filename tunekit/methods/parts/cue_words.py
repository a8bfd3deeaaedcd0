"""Words for "question" and "answer" by language, as templates of cloze questions use them."""

from __future__ import annotations

CUE_WORDS: dict[str, tuple[str, str]] = {
    "ar": ("سؤال", "إجابة"),
    "bg": ("въпрос", "отговор"),
    "de": ("Frage", "Antwort"),
    "el": ("ερώτηση", "απάντηση"),
    "en": ("question", "answer"),
    "es": ("pregunta", "respuesta"),
    "fr": ("question", "réponse"),
    "hi": ("प्रश्न", "उत्तर"),
    "ja": ("質問", "答え"),
    "ko": ("질문", "답변"),
    "ru": ("вопрос", "ответ"),
    "sw": ("swali", "jibu"),
    "th": ("คำถาม", "คำตอบ"),
    "tr": ("soru", "cevap"),
    "ur": ("سوال", "جواب"),
    "vi": ("câu hỏi", "câu trả lời"),
    "zh": ("问题", "答案"),
}
"""(question, answer): our translations, for the languages of XNLI and PAWS-X."""
