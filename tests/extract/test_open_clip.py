"""Small random models of open_clip's families against its own outputs; nothing is pretrained, nothing is fetched."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from camoe.evaluate.search.searcher import Searcher
from camoe.extract.config import ExtractConfig
from camoe.extract.elsewhere import FrameWorkElsewhere
from camoe.extract.encoder import Encoder
from camoe.extract.encoders import load_encoder
from camoe.extract.ffmpeg import Binary, inspect_binary
from camoe.extract.frames import FrameWork
from camoe.extract.plain_tower import PlainTower
from camoe.extract.query_tower import QueryTower
from camoe.extract.resize import Resize
from camoe.extract.run import extract
from camoe.extract.strategies import read_whole
from camoe.extract.text_tower import CausalTower
from camoe.extract.tokens import TokenSequence
from camoe.extract.video import Decoder
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore, StoreSettings
from camoe.pipeline.store.place import Place
from camoe.train.config import TrainConfig
from camoe.train.run import fit
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import Compose

TEXTS = [
    "A man's t-shirt isn't red!",
    "two dogs",
    "",
    "a dog runs over the sand " * 20,
    "two dogs",
    "été 🎬 <end_of_text> x",
]
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 32}
TIMM = {"image_size": 160, "timm_model_pretrained": False, "timm_proj": "none"}
SENTENCES = [
    "a man is riding a horse",
    "two dogs run over the sand",
    "the red ball",
    "a woman sings",
    "it isn't a t-shirt",
]


def _sentencepiece(folder: Path) -> None:
    """As SigLIP's: pieces with their space, an end token which is the padding, too, and no start token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=["<unk>", "</s>"], unk_token="<unk>")
    tokenizer.train_from_iterator([*SENTENCES, "_"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)


def _word_pieces(folder: Path) -> None:
    """As BERT's, with a small RoBERTa's configuration beside it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, RobertaConfig

    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator([*SENTENCES, "_"], trainers.WordPieceTrainer(vocab_size=80, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    RobertaConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=24, pad_token_id=1,
    ).save_pretrained(folder)  # fmt: skip


def _configs(folder: Path) -> dict[str, dict[str, Any]]:
    pieces, words = str(folder / "pieces"), str(folder / "words")
    siglip_text = {
        "context_length": 16, "vocab_size": 64, "width": 32, "heads": 2, "layers": 2, "hf_tokenizer_name": pieces,
        "tokenizer_kwargs": {"clean": "canonicalize"}, "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
    }  # fmt: skip
    decoder = {"context_length": 76, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 1, "attn_pooler_heads": 2}
    return {
        "small-vit": {"embed_dim": 32, "vision_cfg": VIT, "text_cfg": TEXT},
        "small-vit-quickgelu": {"embed_dim": 32, "quick_gelu": True, "vision_cfg": VIT, "text_cfg": TEXT},
        "small-resnet": {
            "embed_dim": 32,
            "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None, "head_width": 32},
            "text_cfg": TEXT,
        },
        "small-convnext": {
            "embed_dim": 32,
            "vision_cfg": {**TIMM, "timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear"},
            "text_cfg": TEXT,
        },
        "small-two-way": {  # as MobileCLIP2: CLIP's tokens, and every token sees all
            "embed_dim": 32, "custom_text": True, "vision_cfg": VIT, "text_cfg": {**TEXT, "no_causal_mask": True},
        },
        "small-coca": {
            "embed_dim": 64, "custom_text": True, "multimodal_cfg": decoder,
            "vision_cfg": {**VIT, "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
            "text_cfg": {**TEXT, "context_length": 76, "embed_cls": True, "output_tokens": True},
        },
        "small-siglip": {
            "embed_dim": 64, "custom_text": True, "init_logit_bias": -10, "init_logit_scale": 4.7651,
            "vision_cfg": {**TIMM, "timm_model_name": "test_vit", "timm_pool": "map"}, "text_cfg": siglip_text,
        },
        "small-nobody": {
            "embed_dim": 32, "vision_cfg": VIT,
            "text_cfg": {"context_length": 20, "hf_model_name": "nobody/nothing", "hf_tokenizer_name": words},
        },
        "small-roberta": {
            "embed_dim": 32, "vision_cfg": VIT,
            "text_cfg": {"context_length": 20, "hf_model_name": words, "hf_tokenizer_name": words},
        },
    }  # fmt: skip


FAMILIES = [
    "small-vit", "small-vit-quickgelu", "small-resnet", "small-convnext", "small-two-way", "small-coca", "small-siglip",
    "small-roberta",
]  # fmt: skip
CAUSAL = FAMILIES[:4]


class Zoo:
    """The models' weights, `FAMILY.pt` in `folder`, and each as open_clip itself loads it and as we do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._theirs: dict[str, tuple[Any, Compose, Any]] = {}
        self._ours: dict[str, Encoder] = {}
        _sentencepiece(folder / "pieces")
        _word_pieces(folder / "words")
        self.configs = _configs(folder)
        (folder / "configs").mkdir()
        for name, config in self.configs.items():
            (folder / "configs" / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / "configs")
        torch.manual_seed(0)
        for name in FAMILIES:
            model = open_clip.create_model(name, pretrained_text=False)
            for parameter in (p for key, p in model.named_parameters() if "logit" not in key):
                parameter.data += 0.05 * torch.randn_like(parameter)
            torch.save(model.state_dict(), self.weights(name))

    def weights(self, name: str) -> Path:
        return self.folder / f"{name}.pt"

    def spec(self, name: str) -> str:
        return f"open_clip:{name}/{self.weights(name)}"

    def theirs(self, name: str) -> tuple[Any, Compose, Any]:
        """Model, image transform and tokenizer."""
        if name not in self._theirs:
            model, _, transform = open_clip.create_model_and_transforms(name, pretrained=str(self.weights(name)))
            self._theirs[name] = model.eval().requires_grad_(False), transform, open_clip.get_tokenizer(name)
        return self._theirs[name]

    def ours(self, name: str) -> Encoder:
        if name not in self._ours:
            self._ours[name] = load_encoder(self.spec(name), "cpu")
        return self._ours[name]


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """Hugging Face's libraries read their caches alone, whether there is a network or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        yield


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    logging.getLogger().setLevel(logging.ERROR)
    return Zoo(tmp_path_factory.mktemp("zoo"))


@pytest.mark.parametrize("name", FAMILIES)
def test_frames_and_texts_are_open_clips(zoo: Zoo, name: str) -> None:
    encoder, (model, transform, tokenizer) = zoo.ours(name), zoo.theirs(name)
    frames = np.random.default_rng(0).integers(0, 256, (2, encoder.resolution, encoder.resolution, 3), np.uint8)
    pixels = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
    torch.testing.assert_close(
        encoder.encode_frames(frames), model.encode_image(pixels, normalize=False), rtol=1e-3, atol=1e-4
    )
    expected = model.encode_text(tokenizer(TEXTS), normalize=False)
    torch.testing.assert_close(encoder.encode_texts(TEXTS), expected, rtol=1e-3, atol=2e-5)
    torch.testing.assert_close(
        QueryTower(encoder).encode_tokens([read_whole(TEXTS[0], encoder.tokens)]), expected[:1], rtol=1e-3, atol=2e-5
    )
    assert encoder.precision == "fp32"
    assert isinstance(encoder._tower, CausalTower if name in CAUSAL else PlainTower)


def test_scale_above_100_and_bias(zoo: Zoo) -> None:
    encoder = zoo.ours("small-siglip")
    assert (encoder.logit_scale, encoder.logit_bias) == (pytest.approx(117.34, abs=0.01), -10)
    assert zoo.ours("small-vit").logit_bias is None


@pytest.mark.parametrize("name", ["small-siglip", "small-two-way"])
def test_words_left_out_are_closed_to_attention(zoo: Zoo, name: str) -> None:
    """Against the slow way: only the tokens that are there, padding among them, go through the transformer."""
    encoder, (model, _, tokenizer) = zoo.ours(name), zoo.theirs(name)
    ids, framing = tokenizer(["two dogs run over"])[0], encoder.tokens.framing
    whole = read_whole("two dogs run over", encoder.tokens)
    kept = [place for place in range(len(whole.tokens)) if place not in (1, 3)]
    seen = [*kept, *range(len(whole.tokens), framing.context)]
    text = model.text
    x = text.transformer((text.token_embedding(ids) + text.positional_embedding)[seen].unsqueeze(0))
    pooled = text.ln_final(x)[0, -1 if text.pool_type == "last" else len(kept) - 1]
    projection = text.text_projection
    expected = projection(pooled) if isinstance(projection, torch.nn.Linear) else pooled @ projection
    gapped = TokenSequence(tuple(whole.tokens[place] for place in kept), tuple(kept))
    torch.testing.assert_close(encoder.encode_tokens([whole, gapped])[1], expected, rtol=1e-3, atol=2e-5)


def test_words_left_out_are_closed_to_attention_in_hugging_faces_towers(zoo: Zoo) -> None:
    encoder, (model, _, tokenizer) = zoo.ours("small-roberta"), zoo.theirs("small-roberta")
    ids, whole = tokenizer(["two dogs run over"]), read_whole("two dogs run over", encoder.tokens)
    kept = [place for place in range(len(whole.tokens)) if place not in (1, 3)]
    mask = torch.zeros_like(ids)
    mask[0, kept] = 1
    hidden = model.text.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
    expected = model.text.proj(hidden[0, kept].mean(0, keepdim=True))
    gapped = TokenSequence(tuple(whole.tokens[place] for place in kept), tuple(kept))
    torch.testing.assert_close(encoder.encode_tokens([gapped]), expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", ["small-coca", "small-siglip", "small-roberta", "small-vit"])
def test_a_sequence_has_one_embedding_and_its_words_in_any_company(zoo: Zoo, name: str) -> None:
    encoder = zoo.ours(name)
    whole = [read_whole(text, encoder.tokens) for text in (*SENTENCES, *TEXTS)]
    gapped = [TokenSequence(s.tokens[:1] + s.tokens[2:], s.positions[:1] + s.positions[2:]) for s in whole[:4]]
    marked = [TokenSequence(s.tokens, s.positions, (1, 2)) for s in whole[:3]]
    sequences = [whole[0], *gapped, *marked, *whole[1:]]
    together = encoder.encode_tokens(sequences)
    assert together.isfinite().all()
    for place in (0, 2, 6, 9):
        assert torch.equal(encoder.encode_tokens([sequences[place]])[0], together[place])
    for place, words in encoder.encode_words(whole):
        assert words.shape == (len(whole[place].tokens), encoder.embed_dim)
        torch.testing.assert_close(words[-1], encoder.encode_tokens([whole[place]])[0])
    words = dict(encoder.encode_words(whole[:1]))[0]
    if name != "small-roberta":  # whose projection is no linear one
        torch.testing.assert_close(together[5], words[1:3].mean(0), rtol=1e-3, atol=2e-5)
    assert encoder.encode_tokens([]).shape == (0, encoder.embed_dim)


@settings(max_examples=30, deadline=None)
@given(st.text(st.sampled_from("a dogTwo's_-.!é\u0301ﬁ　9"), max_size=60))
def test_captions_have_the_tokenizers_own_ids(zoo: Zoo, text: str) -> None:
    for name in ("small-vit", "small-siglip", "small-roberta"):
        tokens, tokenizer = zoo.ours(name).tokens, zoo.theirs(name)[2]
        sequence = read_whole(text, tokens)
        padding = [tokens.framing.pad] * (tokens.framing.context - len(sequence.tokens))
        assert [*sequence.tokens, *padding] == tokenizer([text])[0].tolist()


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_frames_are_prepared_as_open_clip_does(
    ffmpeg: str, tmp_path: Path, make_video: Callable[..., Path], mode: str, interpolation: str
) -> None:
    source = ("-f", "lavfi", "-i", "mandelbrot=size=161x90:rate=2,trim=duration=1")
    path = make_video(tmp_path / "x.mkv", "-c:v", "ffv1", "-pix_fmt", "gbrp", source=source)
    raw = make_video(tmp_path / "x.rgb", "-f", "rawvideo", "-pix_fmt", "rgb24", source=("-i", str(path)))
    frames = np.fromfile(raw, np.uint8).reshape(-1, 90, 161, 3)
    transform = open_clip.image_transform(
        48, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode, interpolation=interpolation, fill_color=128
    )
    decoder = Decoder(inspect_binary(ffmpeg), 48, 2.0, 2, "uniform", resize=Resize(mode, interpolation, 128))
    mine = decoder.decode(path).frames
    assert len(mine) == len(frames) == 2
    for frame, ours in zip(frames, mine, strict=True):
        expected = transform(Image.fromarray(frame)).permute(1, 2, 0).numpy() * 255
        assert np.abs(expected - ours).mean() < 1.0


def test_half_precision_is_close(zoo: Zoo) -> None:
    for name in ("small-vit", "small-siglip"):
        low, encoder = load_encoder(zoo.spec(name), "cpu", "bf16"), zoo.ours(name)
        frames = np.random.default_rng(0).integers(0, 256, (1, low.resolution, low.resolution, 3), np.uint8)
        for mine, theirs in (
            (low.encode_frames(frames), encoder.encode_frames(frames)),
            (low.encode_texts(TEXTS[:2]), encoder.encode_texts(TEXTS[:2])),
        ):
            assert torch.cosine_similarity(mine, theirs).min() > 0.99


# -- which model


def test_one_file_under_two_names_is_two_models(zoo: Zoo) -> None:
    """The file says nothing of the activation, which the features depend on."""
    path = zoo.weights("small-vit")
    one, other = (
        load_encoder(f"open_clip:{name}/{path}", "cpu").weights for name in ("small-vit", "small-vit-quickgelu")
    )
    assert one.sha256 == other.sha256
    assert one.identity != other.identity
    assert one.name == "open_clip:small-vit/small-vit.pt"
    assert load_encoder(f"{one.prefix}{one.path}", "cpu").weights == one


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "ViT-B-33/openai",
            r"open_clip:ViT-B-33/openai: open_clip 3\S* has no model ViT-B-33; the nearest are .*ViT-B-32",
        ),
        ("ViT-B-32", r"it lacks a tag or a file; give open_clip:ViT-B-32/TAG or .*its tags are openai, laion400m_e31"),
        ("ViT-B/32/nowhere.pt", r"nowhere\.pt is neither a tag of ViT-B-32 nor a file"),
        ("ViT-B-32/openai", r"another activation; give open_clip:ViT-B-32-quickgelu/openai"),
        ("small-vit/x", r"x is neither a tag of small-vit nor a file; .*it has no published tags"),
        ("ViT-B-16-SigLIP/webli/nowhere.pt", r"there is no file nowhere\.pt"),
        ("local-dir:nowhere", r"there is no nowhere/open_clip_config\.json; give the model's folder"),
    ],
)
def test_models_that_are_not_there(zoo: Zoo, asked: str, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        load_encoder(f"open_clip:{asked}", "cpu")


def test_files_of_another_model(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match=r"small-resnet\.pt does not hold the weights of small-vit .*name the model"):
        load_encoder(f"open_clip:small-vit/{zoo.weights('small-resnet')}", "cpu")
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"no weights")
    with pytest.raises(CamoeError, match=r"broken\.pt is no weights file, or a damaged one"):
        load_encoder(f"open_clip:small-vit/{broken}", "cpu")


def test_what_is_not_in_the_cache_is_told_with_the_command(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(
        CamoeError, match=r"not in the cache and could not be fetched .*hf download laion/CLIP-ViT-B-32\S* "
    ):
        load_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k", "cpu", cache_folder=tmp_path)
    with pytest.raises(CamoeError, match=r"out of reach\); .* hf download a/b --local-dir FOLDER, .*:local-dir:"):
        load_encoder("open_clip:hf-hub:a/b", "cpu", cache_folder=tmp_path)
    path = zoo.weights("small-siglip")
    with pytest.raises(CamoeError, match=r"its tokenizer timm/ViT-B-16-SigLIP is not in the cache .*run: hf download"):
        load_encoder(f"open_clip:ViT-B-16-SigLIP/{path}", "cpu", cache_folder=tmp_path)
    with pytest.raises(CamoeError, match=r"tower nobody/nothing is not in the cache .*copy models--nobody--nothing "):
        load_encoder(f"open_clip:small-nobody/{path}", "cpu")


def test_frames_are_prepared_as_a_tag_says(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a tag is prepared as all tags of its architecture are, where these agree."""
    path, half = zoo.weights("small-vit"), {"mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}
    tags = {"half": {"file": str(path), **half, "interpolation": "bilinear"}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "small-vit", tags)
    model, _, transform = open_clip.create_model_and_transforms("small-vit", pretrained="half")
    frame = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    expected = model.eval().encode_image(transform(Image.fromarray(frame)).unsqueeze(0)).detach()
    for asked, name in (("half", "half"), (f"half/{path}", "half/small-vit.pt"), (str(path), "small-vit.pt")):
        encoder = load_encoder(f"open_clip:small-vit/{asked}", "cpu")
        assert encoder.resize == Resize("squash", "bilinear")
        torch.testing.assert_close(encoder.encode_frames(frame[None]), expected, rtol=1e-3, atol=1e-4)
        assert encoder.weights.name == f"open_clip:small-vit/{name}"
    tags["other"] = {"file": str(path)}
    assert load_encoder(f"open_clip:small-vit/{path}", "cpu").resize == Resize()


def test_a_worker_elsewhere_builds_the_same_model(zoo: Zoo, tmp_path: Path) -> None:
    weights = zoo.ours("small-vit").weights
    settings = StoreSettings(weights.name, weights.identity, 100.0, 32, "fp32")
    place, binary = Place.of(tmp_path / "s"), Binary("ffmpeg", "7", True)
    work = FrameWork(place, settings, tmp_path, binary, zoo.spec("small-vit"), tmp_path / "cache", "cpu", 60.0, 1, 4)
    gone = replace(weights, path=tmp_path / "small-vit.pt")
    elsewhere = FrameWorkElsewhere(work, gone, lambda: np.fromfile(weights.path, np.uint8), workers=1)
    assert elsewhere._encoder().weights.identity == weights.identity


# -- from videos to a search


@pytest.fixture(scope="module")
def siglip(zoo: Zoo) -> Path:
    """A folder with a model, its tokenizer and how its frames are prepared, as `open_clip` pushes it to the hub."""
    folder = zoo.folder / "siglip"
    _sentencepiece(folder)
    half = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": zoo.configs["small-siglip"], "preprocess_cfg": half}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    from safetensors.torch import save_file

    save_file(torch.load(zoo.weights("small-siglip")), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def store(siglip: Path, tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> ExtractConfig:
    folder = tmp_path_factory.mktemp("world")
    (folder / "videos").mkdir()
    rows = [("video_id", "caption", "split")]
    for number, split in enumerate(("train", "train", "train", "val", "test", "test")):
        source = ("-f", "lavfi", "-i", f"testsrc2=size={64 + 16 * number}x48:rate=2:duration=1")
        make_video(folder / "videos" / f"v{number}.mp4", "-c:v", "mpeg4", source=source)
        rows += [(f"v{number}", SENTENCES[number % 5], split), (f"v{number}", SENTENCES[(number + 1) % 5], split)]
    with open(folder / "captions.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    config = ExtractConfig(
        videos=folder / "videos", captions=folder / "captions.csv", out=folder / "shards.h5", fps=2.0, max_frames=2,
        clip=f"open_clip:local-dir:{siglip}", device="cpu", strategies=("full", "muw", "rkw", "akwe", "muw-token"),
        tokens=True,
    )  # fmt: skip
    extract(config)
    return config


def test_from_videos_to_a_search(store: ExtractConfig, siglip: Path, tmp_path: Path) -> None:
    features = FeatureStore.open(store.store)
    made = features.settings
    assert (made.clip_model, made.precision) == ("open_clip:local-dir:siglip", "fp32")
    assert (made.clip_logit_scale, made.clip_logit_bias) == (pytest.approx(117.34, abs=0.02), -10.0)
    assert {"open_clip_torch", "timm"} <= set(made.versions)
    assert features.word_tokens.longest <= 16
    run = fit(TrainConfig(features=(str(store.store),), out=tmp_path / "run", epochs=1, device="cpu", threads=1))
    with pytest.raises(CamoeError, match=r"no siglip/open_clip_config\.json; give the model's folder"):
        Searcher.open(run, device="cpu").search("two dogs")
    searcher = Searcher.open(run, device="cpu", clip=store.clip)
    assert len(searcher.search("two dogs run over the sand", top=3)) == 3
    assert len(searcher.search(like=store.videos / "v0.mp4", top=2)) == 2


def test_a_search_by_another_model_is_refused(store: ExtractConfig, zoo: Zoo) -> None:
    searcher = Searcher.open(None, store.store, device="cpu", clip=zoo.spec("small-siglip"))
    with pytest.raises(CamoeError, match=r"is another CLIP \(\w+…\) than the store's; give the weights of open_clip"):
        searcher.search("two dogs")


def test_a_store_goes_on_with_its_own_model_alone(store: ExtractConfig, zoo: Zoo) -> None:
    before = FeatureStore.open(store.store).content_hash
    with pytest.raises(CamoeError, match="clip_model is open_clip:local-dir:siglip in the store and open_clip:small"):
        extract(replace(store, clip=zoo.spec("small-siglip")))
    again = extract(store)
    assert (again.frames.frames, again.sentences) == (0, 0)
    assert FeatureStore.open(store.store).content_hash == before


def test_clip_layers_are_openais_alone(store: ExtractConfig, tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match="--clip-layers 2: open_clip:local-dir:siglip is none of OpenAI's models"):
        extract(replace(store, out=tmp_path / "other.h5", clip_layers=2))
    assert not list(tmp_path.iterdir())
