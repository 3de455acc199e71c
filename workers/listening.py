"""Runs jobs that write down what is said."""

from jobs.job import JobSpec
from jobs.model import ModelCall
from prompts.registry import Registry
from speech.registry import SpeechServices
from speech.service import Recording
from workers.listener import Listener
from workers.narrator import Narrator
from workers.progress import Progress
from workers.recordings import RecordingReader


class Listening:
    """Runs jobs whose type has the runner `transcribe`."""

    def __init__(self, prompts: Registry, speech: SpeechServices, recordings: RecordingReader) -> None:
        """`recordings` have the audio of the jobs."""
        self._prompts = prompts
        self._speech = speech
        self._recordings = recordings

    async def run(self, spec: JobSpec, narrator: Narrator, progress: Progress) -> None:
        """Leaves the transcript in `progress`. Raises `errors.JobFailure`."""
        job_type = self._prompts.get(spec.type)
        value = job_type.filled(progress.begin(spec, job_type))
        recording = Recording(
            audio=await self._recordings.read(spec, value),
            language=value.get("language") or "",
            languages=tuple(value.get("languages") or ()),
        )
        service = self._speech.listening_to(recording)

        def record(call: ModelCall) -> None:
            narrator.usage("speech-to-text", progress.record(call))
            narrator.ask(call.model)

        heard = await Listener(service, narrator, record).hear(recording)
        progress.output = {
            "text": heard.text,
            "language": heard.language,
            "segments": [
                {"text": s.text, "start_s": s.start_s, "end_s": s.end_s, "confidence": s.confidence}
                for s in heard.segments
            ],
            "duration_s": None if heard.duration_s is None else round(heard.duration_s, 3),
        }
