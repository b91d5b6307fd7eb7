"""Encodes and decodes sentences with onnxruntime and numpy alone: no seqvae, no torch.

    pip install onnxruntime numpy
    seqvae export latest --format onnx -o model
    python examples/onnx_decode.py model "the cat sees the sea"
    python examples/onnx_decode.py model --beam 5 --between "the cat sees the sea" "a dog likes people"

It prints each sentence as the model reconstructs it, or with --between a path between two sentences. Tokenizers of
kind word, whitespace and char are supported.

Shapes: B sentences or hypotheses, T tokens, L latent dimensions, V words.
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

CLOSING = {*",.;:!?)]}%…”’»''、。，！？：；）", "''", "..", "...", "...."}
OPENING = {*"([{“‘«¿¡（", "``"}


class Tokenizer:
    """The vocabulary of `tokenizer.json`, and the rule that splits and joins a text."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.rule = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        if self.rule["kind"] not in ("word", "whitespace", "char"):
            raise SystemExit(f"a tokenizer of kind {self.rule['kind']} is not supported here")
        self.words, self.special = self.rule["words"], config["ids"]
        self.pattern = config["word_pattern"]
        written = {self.words[self.special[name]] for name in ("pad", "bos", "eos")}
        self.ids = {word: i for i, word in enumerate(self.words) if word not in written}

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, `<eos>` last."""
        form = self.rule.get("normalize", "none").upper()
        text = text.lower() if self.rule["lower"] and form == "NONE" else text
        if form != "NONE":
            text = unicodedata.normalize(form, text)
            text = unicodedata.normalize(form, text.lower()) if self.rule["lower"] else text
        pieces = re.findall(self.pattern, text) if self.pattern else self.characters(text.strip(" \t\n\r\f\v"))
        if not pieces:
            raise SystemExit("a sentence has no words")
        return [*(self.ids.get(piece, self.special["unk"]) for piece in pieces), self.special["eos"]]

    def characters(self, text: str) -> list[str]:
        """Characters, with a written `<unk>` as one. What a reader takes for one may be several code points."""
        unknown = self.words[self.special["unk"]]
        if "characters" not in self.rule or text.isascii():
            return re.findall(f"{re.escape(unknown)}|.", text, re.DOTALL)
        import regex

        return regex.findall(rf"{re.escape(unknown)}|\X", text)

    def decode(self, ids: list[int]) -> str:
        pieces = [self.words[i] for i in ids]
        if self.rule["kind"] != "word":
            return (" " if self.rule["kind"] == "whitespace" else "").join(pieces)
        text, glued, quoted = "", True, dict.fromkeys("\"'", False)
        for piece in pieces:
            closes, opens = piece in CLOSING, piece in OPENING
            if piece in quoted:
                closes, opens = quoted[piece], not quoted[piece]
                quoted[piece] = opens
            price = text[-1:] in {*"$£€¥"} and piece[0].isdigit() and text != ""
            text += piece if glued or closes or price else f" {piece}"
            glued = opens
        return text


class Model:
    """The graphs of an export: the encoder, the decoder's first state, and one step of the decoder."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer(folder, self.config)
        names = "encoder", "decoder_start", "decoder_step"
        self.encoder, self.starter, self.stepper = (
            onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
            for name in names
        )
        self.state_names = [found.name for found in self.starter.get_outputs()]

    def encode(self, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale of q(z|x) of each sentence, [B, L] each."""
        ids = [self.tokenizer.encode(sentence) for sentence in sentences]
        lengths = np.array([len(row) for row in ids])
        tokens = np.zeros((len(ids), lengths.max()), np.int64)
        for row, found in enumerate(ids):
            tokens[row, : len(found)] = found
        mean, scale = self.encoder.run(["mean", "scale"], {"tokens": tokens, "lengths": lengths})
        return mean, scale

    def start(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """The state before the first word, for codes z [B, L]."""
        return dict(zip(self.state_names, self.starter.run(self.state_names, {"z": z}), strict=True))

    def step(
        self, token: np.ndarray, z: np.ndarray, state: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """log p of each next word [B, V] after `token` [B], and the state after it."""
        following = [f"next_{name}" for name in self.state_names]
        log_p, *parts = self.stepper.run(["log_prob", *following], {"token": token, "z": z, **state})
        log_p[:, self.config["decoding"]["never"]] = -np.inf
        return log_p, dict(zip(self.state_names, parts, strict=True))

    def greedy(self, z: np.ndarray) -> list[list[int]]:
        """Token ids, the likeliest word each time, for codes z [B, L]."""
        special = self.config["ids"]
        state, token = self.start(z), np.full(len(z), special["bos"])
        chosen = []
        for _ in range(self.config["decoding"]["max_len"]):
            log_p, state = self.step(token, z, state)
            token = log_p.argmax(-1)
            chosen.append(token)
            if all(special["eos"] in row for row in zip(*chosen, strict=True)):
                break
        rows = [[int(token) for token in row] for row in zip(*chosen, strict=True)]
        return [row[: row.index(special["eos"])] if special["eos"] in row else row for row in rows]

    def beam(self, z: np.ndarray, width: int) -> list[list[int]]:
        """Token ids of the likeliest sentence by log p a token, `<eos>` counted, that a beam finds for each code."""
        return [self._beam(code, width) for code in z]

    def _beam(self, code: np.ndarray, width: int) -> list[int]:
        special, longest = self.config["ids"], self.config["decoding"]["max_len"]
        z = np.repeat(code[None], width, 0)
        state, token = self.start(z), np.full(width, special["bos"])
        scores = np.array([0.0] + [-np.inf] * (width - 1), np.float32)
        sentences: list[list[int]] = [[] for _ in range(width)]
        ended: list[tuple[float, list[int]]] = []
        for length in range(1, longest + 1):
            log_p, state = self.step(token, z, state)
            totals = (scores[:, None] + log_p).ravel()
            best = np.argsort(-totals, kind="stable")[: 2 * width]
            parents, tokens = np.divmod(best, log_p.shape[1])
            for rank, (parent, word) in enumerate(zip(parents, tokens, strict=True)):
                if word == special["eos"] and rank < width and len(ended) < width and np.isfinite(totals[best[rank]]):
                    ended.append((totals[best[rank]] / length, sentences[parent]))
            if len(ended) >= width:
                break
            kept = np.flatnonzero(tokens != special["eos"])[:width]
            parents, token, scores = parents[kept], tokens[kept], totals[best[kept]]
            sentences = [[*sentences[parent], int(word)] for parent, word in zip(parents, token, strict=True)]
            state = {name: part[parents] for name, part in state.items()}
        else:
            ended += [(score / longest, sentence) for score, sentence in zip(scores, sentences, strict=True)]
        return max(ended, key=lambda one: one[0])[1]

    def decode(self, z: np.ndarray, beam: int = 0) -> list[str]:
        """A sentence for each code, by a beam of `beam` hypotheses, or greedily."""
        return [self.tokenizer.decode(ids) for ids in (self.beam(z, beam) if beam else self.greedy(z))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `seqvae export --format onnx` wrote")
    parser.add_argument("sentences", nargs="*", help="sentences to encode and decode")
    parser.add_argument("--between", nargs=2, metavar=("FIRST", "LAST"), help="decode a path of 7 codes")
    parser.add_argument("--beam", type=int, default=0, help="hypotheses of a beam search; 0: greedy")
    arguments = parser.parse_intermixed_args()
    model = Model(arguments.folder)
    if arguments.between:
        (first, last), _ = model.encode(arguments.between)
        for sentence in model.decode(np.linspace(first, last, 7), arguments.beam):
            print(sentence)
    elif arguments.sentences:
        means, _ = model.encode(arguments.sentences)
        for sentence, decoded in zip(arguments.sentences, model.decode(means, arguments.beam), strict=True):
            print(f"{sentence} -> {decoded}")


if __name__ == "__main__":
    main()
