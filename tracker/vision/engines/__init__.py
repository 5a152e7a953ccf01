"""One network, many runtimes.

`OpenVinoEngine` runs the detectors' `.tflite` files. The S2HAND network runs on any engine that
`choosing.open_engine` knows: OpenVINO, ONNX Runtime, PyTorch, CUDA graphs, TensorRT. They take the
same crops and give the same hands; `python -m tracker.vision.engines list | build | check`.
"""

from tracker.vision.engines.tflite import OpenVinoEngine as OpenVinoEngine
from tracker.vision.engines.tflite import Precision as Precision
