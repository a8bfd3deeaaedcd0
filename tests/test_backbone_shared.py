"""A sentence encoded once for all of its questions."""

from __future__ import annotations

import pytest
import torch
from test_backbone_vocabulary import CANDIDATES, CAUSAL, ENCODERS, plain_scores, some_inputs
from tiny_models import backbone_of

from tunekit.backbone import Backbone, Inputs, scoring

OWNERS = torch.tensor([0, 1, 1, 0, 2])
LENGTHS, QUESTION_LENGTHS = (7, 4, 5), (3, 2, 4, 1, 3)


def some_questions() -> tuple[Inputs, Inputs]:
    """Three sentences and five questions, all of different lengths."""
    return some_inputs(LENGTHS), some_inputs(QUESTION_LENGTHS, seed=2)


def joined(sentences: Inputs, questions: Inputs, question: int) -> Inputs:
    """One row of a question's sentence and itself."""
    owner = int(OWNERS[question])
    sentence = sentences.input_ids[owner, : LENGTHS[owner]]
    ids = torch.cat([sentence, questions.input_ids[question, : QUESTION_LENGTHS[question]]])[None]
    return Inputs(ids, torch.ones_like(ids))


@pytest.mark.parametrize("architecture", CAUSAL)
def test_on_a_causal_model_sharing_equals_one_row_of_sentence_and_question(architecture: str) -> None:
    backbone, (sentences, questions) = backbone_of(architecture), some_questions()
    found = scoring.encode_shared(backbone, sentences, questions, OWNERS)
    assert found.shape == (5, 4, 32)
    for row, length in enumerate(QUESTION_LENGTHS):
        expected = backbone.encode(joined(sentences, questions, row))[0, -length:]
        torch.testing.assert_close(found[row, :length], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", CAUSAL)
def test_strings_are_scored_alike_after_a_shared_sentence_and_after_one_row_of_both(architecture: str) -> None:
    backbone, (sentences, questions) = backbone_of(architecture), some_questions()
    for candidates in (CANDIDATES, ((5,), (6,))):
        found = scoring.continuation_scores_shared(backbone, sentences, questions, owners=OWNERS, candidates=candidates)
        normalised = scoring.continuation_scores_shared(
            backbone, sentences, questions, owners=OWNERS, candidates=candidates, normalise=True
        )
        assert found.shape == (5, len(candidates))
        torch.testing.assert_close(normalised, found / torch.tensor([len(c) for c in candidates]), atol=1e-6, rtol=0)
        for row in range(5):
            text = joined(sentences, questions, row).input_ids[0].tolist()
            expected = plain_scores(architecture, text, candidates).log_softmax(-1)
            torch.testing.assert_close(found[row].log_softmax(-1), expected, atol=1e-4, rtol=0)


def plain_encoder(backbone: Backbone, sentences: Inputs, questions: Inputs, question: int) -> torch.Tensor:
    """What a row of sentence and question gives if the sentence may not see the question."""
    row, length = joined(sentences, questions, question), LENGTHS[int(OWNERS[question])]
    total = row.input_ids.shape[1]
    allowed = torch.ones(total, total, dtype=torch.bool)
    allowed[:length, length:] = False
    positions = torch.arange(total)[None] + (2 if backbone.architecture.skips_padding_position else 0)
    hidden: torch.Tensor = backbone.model(
        row.input_ids, attention_mask=allowed[None, None], position_ids=positions
    ).last_hidden_state
    return hidden[0, length:]


@pytest.mark.parametrize("architecture", ENCODERS)
def test_on_an_encoder_the_question_sees_sentence_and_itself_and_the_sentence_only_itself(architecture: str) -> None:
    backbone, (sentences, questions) = backbone_of(architecture), some_questions()
    found = scoring.encode_shared(backbone, sentences, questions, OWNERS)
    for row, length in enumerate(QUESTION_LENGTHS):
        expected = plain_encoder(backbone, sentences, questions, row)
        torch.testing.assert_close(found[row, :length], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", (*ENCODERS, *CAUSAL))
def test_a_question_depends_on_its_own_sentence_only_and_gradients_reach_it(architecture: str) -> None:
    backbone, (sentences, questions) = backbone_of(architecture), some_questions()
    changed = sentences.input_ids.clone()
    changed[1, 1] = 31
    before = scoring.encode_shared(backbone, sentences, questions, OWNERS)
    after = scoring.encode_shared(backbone, Inputs(changed, sentences.attention_mask), questions, OWNERS)
    moved = [(before[q] - after[q])[:n].abs().max() > 1e-4 for q, n in enumerate(QUESTION_LENGTHS)]
    assert moved == [owner == 1 for owner in OWNERS]
    backbone.set_trained(True)
    scoring.encode_shared(backbone, sentences, questions, OWNERS)[0, :3].square().sum().backward()
    grad = backbone.model.get_input_embeddings().weight.grad.abs().sum(1)  # type: ignore[operator]
    assert all(grad[piece] > 0 for piece in sentences.input_ids[0]), "each piece of the sentence"


@pytest.mark.parametrize("architecture", (*ENCODERS, *CAUSAL))
def test_sharing_runs_under_bf16_close_to_fp32(architecture: str) -> None:
    exact, rough = backbone_of(architecture), backbone_of(architecture, dtype="bf16")
    sentences, questions = some_questions()
    real = questions.attention_mask.bool()
    expected = scoring.encode_shared(exact, sentences, questions, OWNERS)[real]
    for trained in (False, True):
        rough.set_trained(trained)
        found = scoring.encode_shared(rough, sentences, questions, OWNERS)[real]
        assert found.dtype == torch.float32
        assert 0 < (found - expected).abs().mean() < 0.15 * expected.std()


@pytest.mark.parametrize("architecture", (*ENCODERS, *CAUSAL))
def test_states_of_the_positions_read_in_the_questions_are_those_of_the_whole(architecture: str) -> None:
    backbone, (sentences, questions) = backbone_of(architecture), some_questions()
    rows, columns = torch.tensor([4, 0, 2, 2]), torch.tensor([0, 2, 1, 3])
    expected = scoring.encode_shared(backbone, sentences, questions, OWNERS)[rows, columns]
    found = scoring.encode_shared(backbone, sentences, questions, OWNERS, reads=(rows, columns))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", (*ENCODERS, *CAUSAL))
def test_padding_after_a_long_sentence_may_run_past_the_models_positions_but_text_may_not(architecture: str) -> None:
    backbone = backbone_of(architecture)
    longest = (backbone.max_positions or 66) - 1
    sentences = some_inputs((longest, 5))
    owners = torch.tensor([0, 1])
    found = scoring.encode_shared(backbone, sentences, some_inputs((1, 9), seed=2), owners)
    alone = scoring.encode_shared(backbone, sentences, some_inputs((1,), seed=2), owners[:1])
    torch.testing.assert_close(found[0, :1], alone[0], atol=1e-5, rtol=0)
    if architecture in ENCODERS:  # XGLM's table grows, and BLOOM has none
        with pytest.raises(IndexError):
            scoring.encode_shared(backbone, sentences, some_inputs((2, 9), seed=2), owners)
