"""What a clip sounds like: silent, speech, music or other.

Speech by Silero VAD. Music by how long tones last, the continuous frequency activation of Seyerlehner et al. (2007,
"Automatic music detection in television productions"): notes stand as lines in a spectrogram, a voice glides and noise
has none.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks, stft

from yozora.footage.taps.weights import Weights, session
from yozora.video import SOUND_RATE

WEIGHTS = Weights(
    "silero-vad",
    "silero_vad/data/silero_vad_16k_op15.onnx",
    "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
)
CHUNK, CONTEXT = 512, 64  # samples that the detector judges, and of those before that it sees again
VOICED = 0.5  # its probability that a chunk is speech
SPOKEN = 0.2  # share of such chunks from which a clip counts as speech
AUDIBLE = 10 ** (-50 / 20)  # root mean square of a chunk, of 1: -50 dB of full scale
HEARD = 0.05  # share of audible chunks below which a clip is silent

SPECTRUM, HOP = 1486, 372  # samples: 93 and 23 ms
LOCAL = 21  # bins over which a peak has to stand out …
STANDS = 0.4  # … by so much, in the logarithm (base 10) of power
PEAKS = 5
TONAL = 3.0  # sum of the PEAKS; measured: music 3.4 to 5, voices up to 2.7, noise 1.5

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """kind: silent, speech, music or other; speech with music is speech. speech: the share of time with a voice. tones:
    how many tones last, 1.5 for noise and 5 at most."""

    kind: str
    speech: float
    tones: float

    def to_json(self) -> dict[str, Any]:
        """The measures as JSON types."""
        return asdict(self)


def sound_of(samples: Samples) -> Sound:
    """What so many samples sound like: float32 [N], mono, SOUND_RATE a second, from -1 to 1.

    Raises YozoraError when the model is not installed.
    """
    chunks = samples[: len(samples) // CHUNK * CHUNK].reshape(-1, CHUNK)
    if not len(chunks) or (np.sqrt((chunks**2).mean(1)) > AUDIBLE).mean() < HEARD:
        return Sound("silent", 0.0, 0.0)
    speech, tones = voiced(chunks), tonality(samples)
    kind = "speech" if speech >= SPOKEN else "music" if tones >= TONAL else "other"
    return Sound(kind, speech, tones)


def voiced(chunks: Samples) -> float:
    """The share of chunks, float32 [N, 512], that are speech."""
    model = session(WEIGHTS)
    state, before, count = np.zeros((2, 1, 128), np.float32), np.zeros(CONTEXT, np.float32), 0
    for chunk in chunks:
        heard = np.concatenate([before, chunk])[None]
        rate = np.array(SOUND_RATE, np.int64)
        chance, state = model.run(None, {"input": heard, "state": state, "sr": rate})
        before = chunk[-CONTEXT:]
        count += bool(chance[0, 0] > VOICED)
    return count / len(chunks)


def tonality(samples: Samples) -> float:
    """The five most prominent peaks of the share of time in which each frequency stands out, summed: 0 to 5."""
    if len(samples) < SPECTRUM:
        return 0.0
    _, _, spectrum = stft(
        samples, nperseg=SPECTRUM, noverlap=SPECTRUM - HOP, boundary=None, padded=False
    )
    power = np.log10(np.abs(spectrum[: SPECTRUM * 11 // 32]) ** 2 + 1e-10)  # up to 5.5 kHz
    stands = power - uniform_filter1d(power, LOCAL, axis=0, mode="nearest") > STANDS
    active = np.pad(stands.mean(1), 1)
    _, found = find_peaks(active, prominence=0.0)
    return float(np.sort(found["prominences"])[-PEAKS:].sum())
