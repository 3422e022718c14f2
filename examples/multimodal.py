"""Pictures, sounds, words and numbers in one table, with cells missing in all of them."""

from __future__ import annotations

import wave
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image

import autodl

RATE = 8000  # samples a second
ANIMALS = {
    # what it is: brightness of its picture, pitch of its voice in hertz, a word of its own, its weight in kilograms
    "cat": (70, 700, "purrs", 4.0),
    "cow": (190, 160, "grazes", 600.0),
    "owl": (70, 400, "glides", 1.0),
    "pig": (190, 400, "grunts", 120.0),
}


def picture(path: Path, shade: int, chance: np.random.Generator) -> str:
    """Write a patch of fur: dark or bright, under noise."""
    pixels = chance.normal(shade, 30, (16, 16)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path.name


def sound(path: Path, pitch: float, chance: np.random.Generator) -> str:
    """Write half a second of a call, more or less at that pitch, under noise."""
    seconds = np.arange(RATE // 2) / RATE
    tone = np.sin(2 * np.pi * pitch * chance.uniform(0.9, 1.1) * seconds) + chance.normal(0, 0.3, len(seconds))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((tone * 8000).astype("<i2").tobytes())
    return path.name


def write_table(folder: Path, rows: int = 400) -> pd.DataFrame:
    """Write animals as a CSV file and what it points at; a fifth of the cells is missing, anywhere."""
    chance = np.random.default_rng(0)
    kinds = chance.choice(list(ANIMALS), rows)
    cells = []
    for row, kind in enumerate(kinds):
        shade, pitch, verb, weight = ANIMALS[kind]
        word = verb if chance.random() < 0.6 else "sleeps"
        cells.append(
            {
                "photo": picture(folder / f"{row:03}.png", shade, chance),
                "call": sound(folder / f"{row:03}.wav", pitch, chance),
                "note": f"It {word} near the {chance.choice(['barn', 'fence', 'old tree'])}, number {row}.",
                "weight": round(weight * chance.lognormal(0, 0.8), 2),
            }
        )
    frame = pd.DataFrame(cells).mask(chance.random((rows, 4)) < 0.2)
    frame["animal"] = kinds
    frame.to_csv(folder / "animals.csv", index=False)
    return frame


def main(
    folder: Path, rows: int = 400, time: str | None = "50s", trials: int | None = None
) -> tuple[dict[str, float], pd.DataFrame]:
    """Search, say what each input brings, and predict rows that lack all but one of their cells."""
    frame = write_table(folder, rows)
    table = folder / "animals.csv"
    predictor = autodl.search(table, "animal", metric="accuracy", time=time, trials=trials, output=folder / "run")
    for entry in predictor.facts.get("modalities", {}).get("compared", []):
        print(entry["kind"], entry["name"], entry["test"])
    names = ["photo", "call", "note", "weight"]
    alone = pd.DataFrame([{name: frame[name].dropna().iloc[0]} for name in names], columns=names)
    nothing = pd.DataFrame([dict.fromkeys(names)])
    sparse = pd.concat([alone, nothing.astype(object)], ignore_index=True)
    told = predictor.predict_proba(sparse, root=folder)
    print(told.set_axis([f"{name} alone" for name in names] + ["nothing at all"]))
    return dict(predictor.scores["test"]), told


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        print(main(Path(temporary))[0])
