"""Users' recordings to learn from, as a dataset folder: those whose owners consent now."""

import asyncio
import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import soundfile
from sqlalchemy import select

from app import consents
from app.storage import Storage, open_store
from app.tables import Recording
from deployments.hand import Hand
from models.audio import ANALYSIS_RATE, Audio, UnreadableAudio
from models.decode import DecodeLimits, Decoder
from training.dataset import RECORDINGS
from training.licences import CONSENTED

PAGE = 50  # recordings, between two looks at who consents
LONGEST_S = 60.0  # kept of each, so that no long one drowns the others
NO_CONSENT, UNREADABLE, GONE = "no consent to training", "unreadable", "sound is gone"
COLUMNS = "file,speaker,gender,label,transcript,language,duration_s,licence,train_ok,extra"

LeftOut = dict[str, int]  # recordings by reason


async def gather(hand: Hand, folder: Path) -> tuple[Path, LeftOut]:
    """Copy them to `folder/recordings`, with their labels.csv, and count those left out.

    Consent is asked before each page is read and of everybody once all is: who takes it back
    meanwhile is not learnt from either. The copies are the caller's to remove.
    """
    place = folder / RECORDINGS
    await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
    (place / "audio").mkdir(parents=True)
    storage, decoder = open_store(hand.settings), Decoder(DecodeLimits(hand.settings.max_seconds))
    try:
        kept, left_out = await _read(hand, _Reader(storage, decoder, place))
    finally:
        await asyncio.to_thread(decoder.close)
    still = await _consenting(hand, kept)
    for row in kept:
        if row.owner_id not in still:
            _file(place, row).unlink()
            _count(left_out, NO_CONSENT)
    _write_labels(place, [row for row in kept if row.owner_id in still])
    return place, left_out


class _Reader:
    """Takes recordings out of the object store, as files that training reads."""

    def __init__(self, storage: Storage, decoder: Decoder, place: Path) -> None:
        self._storage = storage
        self._decoder = decoder
        self._place = place

    async def read(self, row: Recording) -> str | None:
        """Why it cannot be, if so."""
        master = self._place / "master"
        try:
            await self._storage.download(row.key, master)
            audio = await self._decoder.decode(master)
        except FileNotFoundError:
            return GONE
        except UnreadableAudio:
            return UNREADABLE
        finally:
            master.unlink(missing_ok=True)
        await asyncio.to_thread(_keep, audio, _file(self._place, row))
        return None


async def _read(hand: Hand, reader: _Reader) -> tuple[list[Recording], LeftOut]:
    kept, left_out, last = list[Recording](), LeftOut(), ""
    while rows := await _page(hand, last):
        last = rows[-1].id
        consenting = await _consenting(hand, rows)
        for row in rows:
            hand.check()
            why = await reader.read(row) if row.owner_id in consenting else NO_CONSENT
            if why:
                _count(left_out, why)
            else:
                kept.append(row)
        hand.progress({"recordings": len(kept)})
    return kept, left_out


async def _page(hand: Hand, last: str) -> Sequence[Recording]:
    query = select(Recording).where(Recording.deleted_at.is_(None), Recording.id > last)
    async with hand.transaction() as session:
        return list(await session.scalars(query.order_by(Recording.id).limit(PAGE)))


async def _consenting(hand: Hand, rows: Sequence[Recording]) -> set[str]:
    async with hand.transaction() as session:
        return await consents.consenting(session, {row.owner_id for row in rows}, "training")


def _count(left_out: LeftOut, why: str) -> None:
    left_out[why] = left_out.get(why, 0) + 1


def _file(place: Path, row: Recording) -> Path:
    return place / "audio" / f"{row.id}.flac"


def _keep(audio: Audio, path: Path) -> None:
    sound = audio.at(ANALYSIS_RATE)
    samples = sound.samples[: round(LONGEST_S * ANALYSIS_RATE)]
    soundfile.write(path, samples, ANALYSIS_RATE, subtype="PCM_24")


def _write_labels(place: Path, rows: Sequence[Recording]) -> None:
    """Their speaker is their owner: of two people in one account nobody knows."""
    with (place / "labels.csv").open("w", newline="") as file:
        lines = csv.DictWriter(file, COLUMNS.split(","), restval="")
        lines.writeheader()
        for row in rows:
            lines.writerow(
                {
                    "file": f"audio/{row.id}.flac",
                    "speaker": row.owner_id,
                    "duration_s": min(row.duration_s, LONGEST_S),
                    "licence": CONSENTED,
                    "train_ok": "yes (consent)",
                }
            )
