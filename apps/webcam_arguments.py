"""The command line of `webcam`, read by tyro; what cannot be read is said in one line."""

from collections.abc import Sequence

import tyro

from apps.clip_arguments import errors_on_one_line
from apps.webcam_options import WebcamArguments

DESCRIPTION = """Follow hands live: a camera, stream, screen or file in; textured 3D hands, joints and a stream out.

The picture shows fps, latency from capture to screen and to the stream (half of the frames are
faster than the first number, 95 of 100 than the second), dropped frames and the state of each hand.
When tracking cannot keep up, frames are dropped and none is late. A camera that is unplugged is
waited for.

Keys in the window: h shows them all; r records, s takes a screenshot, c calibrates, q ends.

Distances are metric if the camera's --fov (or --intrinsics) and --hand-length-mm are right, or after
calibration with the key c; else they are guesses of the right order.

The exit code is 0 at the end, 2 if the source or an option is no good, 130 after Ctrl-C.

examples:
  python apps/webcam.py                                    (the first camera, in a window)
  python apps/webcam.py doctor                             (something does not work?)
  python apps/webcam.py calibrate --hand-length-mm 188     (true sizes from now on)
  python apps/webcam.py --source demo                      (no camera at hand)
  python apps/webcam.py --source 1 --size 640x480 --rate 60
  python apps/webcam.py --source rtsp://user:password@192.168.1.20/stream1
  python apps/webcam.py --source screen:1280x720+0+0       (whatever plays there)
  python apps/webcam.py --serve --view none                (a server of hands, without a picture)
  python apps/webcam.py --record out/first --steadiness steady
  python apps/webcam.py --source clip.mp4 --as-fast-as-possible --view none --record out/clip
"""


def parse_arguments(words: Sequence[str] | None = None) -> WebcamArguments:
    """Read the command line (default: the program's own).

    Raises:
        SystemExit: 0 after `--help`; 2 after one line on standard error for what makes no sense.
    """
    config = (tyro.conf.OmitArgPrefixes,)
    with errors_on_one_line():
        return tyro.cli(WebcamArguments, args=words, description=DESCRIPTION, config=config)
