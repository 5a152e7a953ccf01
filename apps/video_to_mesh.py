"""Turn clips of hands into textured 3D meshes, joints and an overlay video.

python apps/video_to_mesh.py clip.mp4
"""

import itertools
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import cv2
from rich.console import Console

from apps.clip_arguments import parse_arguments
from apps.clip_job import ClipJob, Outcome
from apps.clip_options import ClipOptions
from apps.clip_progress import ClipProgress
from apps.clip_stream import ClipStream
from apps.clip_thread import DrawingThread
from apps.serving import serving
from tracker.errors import HandloomError
from tracker.stop_request import StopRequest
from tracker.stream.server import StreamServer
from tracker.vision.hand_tracker import HandTracker

BAD_INPUT, INTERRUPTED = 2, 130


def video_to_mesh(clips: Sequence[Path], options: ClipOptions) -> int:
    """Process the clips and return the exit code: 0, 2 for bad input, 130 when interrupted."""
    console = Console(stderr=True, highlight=False, emoji=False)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s"
    )
    cv2.setNumThreads(1)  # its pool and the inference threads would fight over few cores
    try:
        return _process(clips, options, console)
    except (HandloomError, ValueError) as error:
        return _refuse(console, error)
    except KeyboardInterrupt:
        console.print("stopped; files that were not finished are not there", style="yellow")
        return INTERRUPTED


def _process(clips: Sequence[Path], options: ClipOptions, console: Console) -> int:
    """Open all clips, so that bad ones are named at once, and work through the good ones."""
    if not clips:
        raise ValueError("no clip was named; type `python apps/video_to_mesh.py clip.mp4`")
    options.check()
    jobs: list[ClipJob] = []
    for clip, folder in zip(clips, _folders(clips, options.output.out), strict=True):
        try:
            jobs.append(ClipJob(clip, folder, options))
        except HandloomError as error:
            _refuse(console, error)
    code = 0 if len(jobs) == len(clips) else BAD_INPUT
    if jobs:
        tracker = _ready_tracker(options, console)
        with (
            serving(
                options.output.serve, options.hand.stream_facts, tracker.model, console
            ) as server,
            _drawing(options) as drawing,
            StopRequest() as stop,
        ):
            for begun, job in enumerate(jobs, 1):
                code = max(code, _run(job, tracker, drawing, console, stop, server))
                if stop.made:
                    return _stopped(console, jobs[begun:])
    return code


def _ready_tracker(options: ClipOptions, console: Console) -> HandTracker:
    """Open the tracker and let it compile, so that the frames' speed is the speed of frames."""
    with console.status("getting ready; a new machine compiles once, for about half a minute"):
        tracker = HandTracker(options.hand.tracker)
        tracker.warmup()
    return tracker


def _drawing(options: ClipOptions) -> AbstractContextManager[DrawingThread | None]:
    return DrawingThread(options.picture.renderer) if options.picture.overlay else nullcontext()


def _refuse(console: Console, error: Exception) -> int:
    console.print("error:", style="bold red", end=" ")
    console.print(str(error), markup=False, soft_wrap=True)
    return BAD_INPUT


def _stopped(console: Console, left: Sequence[ClipJob]) -> int:
    names = ", ".join(str(job.clip) for job in left)
    also = f"; not begun: {names}" if left else ""
    console.print(f"stopped by the user{also}", style="yellow", markup=False, soft_wrap=True)
    return INTERRUPTED


def _folders(clips: Sequence[Path], out: Path) -> Iterator[Path]:
    """Name a folder for each clip; clips of one name are numbered."""
    taken: set[str] = set()
    for clip in clips:
        name = (clip.resolve().name if clip.is_dir() else clip.stem) or "clip"
        numbered = (f"{name}_{n}" for n in itertools.count(2))
        free = next(n for n in itertools.chain([name], numbered) if n.casefold() not in taken)
        taken.add(free.casefold())
        yield out / free


def _run(
    job: ClipJob,
    tracker: HandTracker,
    drawing: DrawingThread | None,
    console: Console,
    stop: StopRequest,
    server: StreamServer | None,
) -> int:
    """Process one clip with a progress bar and say what came of it."""
    console.print(str(job.clip), style="bold", markup=False, soft_wrap=True)
    try:
        with ClipProgress(console, job.clip.name, job.source.info.frame_count) as progress:
            stream = None if server is None else ClipStream(server)
            outcome = job.run(tracker, drawing, progress, stop, stream)
    except HandloomError as error:
        return _refuse(console, error)
    _report(console, outcome)
    return 0


def _report(console: Console, outcome: Outcome) -> None:
    """Say in a few lines what was found, what to be wary of and where it lies."""
    recording = outcome.recording
    frames = len(recording.frames)
    for track in recording.tracks:
        seen = int((track.rows["state"] == "tracked").sum())
        console.print(f"  {track.side} hand {track.track_id}: seen in {seen} of {frames} frames")
    if not recording.tracks:
        console.print("  no hand was found; the results are valid and empty", style="yellow")
    if recording.info.camera.assumed:
        console.print(
            "  camera assumed: 60 degrees across; give --fov or --intrinsics for true depth"
        )
    for warning in outcome.warnings:
        console.print(f"  {warning}", style="yellow", markup=False, soft_wrap=True)
    if outcome.score is not None:
        console.print(f"  measured against its truth: {outcome.score}", style="bold green")
    rate = frames / max(outcome.elapsed_s, 1e-9)
    console.print(f"  {frames} frames in {outcome.elapsed_s:.1f} s ({rate:.0f} fps)")
    meshes = sum(file.parent.name == "meshes" for file in outcome.files)
    names = [file.name for file in outcome.files if file.parent.name != "meshes"]
    names += [f"meshes/ ({meshes} files)"] if meshes else []
    console.print(f"  {outcome.folder}: {', '.join(names)}", markup=False, soft_wrap=True)


def main() -> None:
    """Run the program."""
    arguments = parse_arguments()
    sys.exit(video_to_mesh(arguments.clips, arguments.options))


if __name__ == "__main__":
    main()
