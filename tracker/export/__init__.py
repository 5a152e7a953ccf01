"""Floor 2: files. Meshes, skeletons and tables of tracked hands.

While a clip plays, `recording.Recording` keeps one row for each hand and frame; `formats.EXPORTERS`
then makes files of it, at any moment:

=========  ===========================  ==========================================================
name       files                        content
=========  ===========================  ==========================================================
`npz`      `hands.npz`                  everything; what the other files are checked against
`glb`      `hands.glb`                  skinned, animated glTF 2.0 with vertex colours
`obj`      `meshes/000123_right_1.obj`  one mesh for each hand and frame, coloured vertices
`ply`      `meshes/000123_right_1.ply`  the same, binary
`csv`      `joints.csv`                 one line for each joint, hand and frame
`jsonl`    `joints.jsonl`               one object for each frame
`bvh`      `hand_right_1.bvh`           one motion-capture skeleton for each track
`usd`      `hands.usdc`                 animated meshes (needs `pip install 'handloom[export]'`)
=========  ===========================  ==========================================================

`npz`, `csv`, `jsonl`, `obj` and `ply` hold metres in the OpenCV camera frame (x right, y down,
z forward). `glb`, `usd` and `bvh` have conventions of their own, y up and z towards the viewer, and
are turned by half a turn about x; `bvh` is in centimetres. A clip without a hand gives valid files
without hands. `summary.write_summary` adds `summary.json`. Every file is written under a temporary
name and renamed when whole (`tracker.whole_file`).
"""
