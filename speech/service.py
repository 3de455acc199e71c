"""`TextToSpeech` and `SpeechToText`: what every speech service can do, and the types that go in and come out.

Nothing here knows a vendor. Languages are BCP 47 tags such as `ko-KR`; a bare `ko` means the usual one of it.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Literal, Protocol

import msgspec

from jobs.audio import Container

AudioFormat = Literal["mp3", "ogg_vorbis", "ogg_opus", "pcm", "wav"]
"""What speech comes out as. `pcm` is 16-bit signed little-endian, one channel, without a header; `wav` is that with
one, which of a wav that comes in parts may say that its length is not known (`speech.audio.encoding.wav_head`)."""


class Voice(msgspec.Struct, frozen=True, kw_only=True):
    """A voice of a service."""

    name: str
    languages: tuple[str, ...]
    """Those it speaks, its own first."""
    engines: tuple[str, ...]
    """The best choice for a conversation first."""
    gender: Literal["female", "male"]


class Utterance(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be said."""

    text: str
    """Plain text, or a whole `<speak>` document if `ssml`."""
    ssml: bool = False
    language: str = ""
    """Empty: the voice's own, or English if no voice is named either."""
    voice: str = ""
    """Empty: the service's default for the language."""
    engine: str = ""
    """Empty: the voice's first."""
    format: AudioFormat = "mp3"
    sample_rate: int = 0
    """In Hz; 0: the service's default for the format."""
    rate: float = 1.0
    """Speed: 0.5 to 2, 1 as the voice usually speaks. Not with `ssml`, nor are the next three."""
    volume_db: float = 0.0
    """Louder or softer: -20 to 6 dB."""
    pause_before_s: float = 0.0
    """Silence before the first word: 0 to 10 s."""
    pause_after_s: float = 0.0
    """Silence after the last word: 0 to 10 s."""
    urgent: bool = False
    """Somebody hears silence meanwhile: where calls wait for their turn, this one comes first."""
    marks: bool = False
    """Whether to tell when each word is spoken, where the service can."""


class AudioPart(msgspec.Struct, frozen=True):
    """Some more bytes of the audio; never empty. All parts one after the other are the whole."""

    data: bytes
    piece: int = 0
    """Text beyond the service's limit is spoken in pieces, from 0. Each piece is a complete file of its format:
    mp3 and pcm may simply be joined, of ogg that makes a chain of streams; wav is one file however many there are."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """When a word or sentence is spoken."""

    kind: Literal["sentence", "word"]
    at_s: float
    """From the start of the whole audio."""
    start: int
    """Where in the text, in characters; in SSML, of the document."""
    end: int
    text: str


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the audio: what was made, and what it cost."""

    voice: str
    engine: str
    language: str
    format: AudioFormat
    sample_rate: int
    characters: int
    """As the vendor bills them."""
    requests: int = 1
    duration_s: float | None = None
    """`None`: only decoding would tell."""


class SpeakingCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a `TextToSpeech` can do."""

    languages: tuple[str, ...]
    """Each has a default voice."""
    voices: tuple[Voice, ...]
    formats: dict[AudioFormat, tuple[int, ...]]
    """With their sample rates in Hz, the default first."""
    ssml: bool
    marks: bool


class TextToSpeech(Protocol):
    """A service that speaks. Instances are made once per process and shared by all its jobs."""

    name: str

    def capabilities(self) -> SpeakingCapabilities:
        """What can be asked for. Asking for more raises `errors.Unsupported` before any call is made."""
        ...

    def target(self, utterance: Utterance) -> str:
        """What will speak it, as calls are counted, limited and priced: `polly/neural`. Raises nothing."""
        ...

    def synthesize(self, utterance: Utterance) -> AsyncIterator[AudioPart | Mark | Spoken]:
        """The audio as it comes: any number of `AudioPart` and `Mark`, then exactly one `Spoken`.

        Raises a class of `speech.errors`: `BadText` for text without a single word. One attempt per call: retrying is
        the caller's business, and so are time limits (but for connecting, 10 s). Cancelling and `aclose()` of the
        iterator end the call to the vendor.
        """
        ...

    async def warm_up(self) -> None:
        """Does what the first call would otherwise wait for: an SDK takes a while to load. Raises as a call does."""
        ...

    async def aclose(self) -> None:
        """Closes what the service holds open."""
        ...


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be understood."""

    audio: bytes | AsyncIterable[bytes]
    """A whole file in any `Container`; or `pcm` as it comes, for which `sample_rate` must be given."""
    sample_rate: int = 0
    """In Hz, 8,000 to 48,000; of pcm only: a file says it itself."""
    language: str = ""
    """Empty: the service finds out, where it can, else it is English."""
    languages: tuple[str, ...] = ()
    """Where the service has to find out: the candidates; empty: its own."""


class Partial(msgspec.Struct, frozen=True, kw_only=True):
    """What has been understood of the segment that is being spoken; replaces the `Partial` before."""

    text: str
    stability: float | None = None
    """The part of it, 0 to 1, that will not change any more; `None`: not known."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of speech, understood for good."""

    text: str
    start_s: float
    end_s: float
    confidence: float | None = None
    """0 to 1."""


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was understood; of silence that is the empty text."""

    text: str
    language: str
    segments: tuple[Segment, ...]
    confidence: float | None = None
    """0 to 1: the mean over the words; `None`: not known."""
    duration_s: float | None = None
    """Of the audio; `None`: not known."""
    requests: int = 1
    """To the vendor, who is not asked about silence."""


class ListeningCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a `SpeechToText` can do."""

    languages: tuple[str, ...]
    identifies: bool
    """Finds out the language by itself."""
    containers: tuple[Container, ...]
    live: bool
    """Takes pcm as it comes and tells `Partial`s."""
    max_s: float
    """Seconds of audio."""


class SpeechToText(Protocol):
    """A service that understands speech. Instances are made once per process and shared by all its jobs."""

    name: str
    target: str
    """As calls are counted, limited and priced: `transcribe/streaming`."""

    def capabilities(self) -> ListeningCapabilities:
        """What can be asked for. Asking for more raises `errors.Unsupported` before any call is made."""
        ...

    def transcribe(self, recording: Recording) -> AsyncIterator[Partial | Segment | Transcript]:
        """What is understood, as it is: any number of `Partial` and `Segment`, then exactly one `Transcript`.

        Raises a class of `speech.errors`: `BadAudio` for what is no audio. Attempts, limits and cancellation as for
        `TextToSpeech.synthesize`.
        """
        ...

    async def warm_up(self) -> None:
        """Does what the first call would otherwise wait for: an SDK takes a while to load. Raises as a call does."""
        ...

    async def aclose(self) -> None:
        """Closes what the service holds open."""
        ...
