"""Floor 0: pure geometry of hands and cameras. The conventions, stated once.

* **Camera frame**: OpenCV. x right, y down, z forward; metres; right-handed.
* **Pixels**: `uv` = (u right, v down); (0, 0) is the top-left *corner* of the image and the centre
  of the first pixel is (0.5, 0.5), so resizing an image only multiplies `K` and `uv`.
* **Images**: RGB, uint8, height x width x 3.
* **Side**: `"left"` or `"right"` is the person's own hand. All models see one canonical right hand;
  a left hand is mirrored in x on the way in and back on the way out.
* **Joints**: 21, ordered as `skeleton.JOINTS` (wrist, then thumb, index, middle, ring, pinky from
  palm to tip: the order of FreiHAND, OpenPose and MediaPipe).
* **Pose**: axis-angle in radians. `global_orient` (3) turns the hand about its wrist joint,
  `hand_pose` (15, 3) holds the finger joints in MANO's order, relative to the parent, with the flat
  hand at zero (MANO's `flat_hand_mean=True`).
* **Placement**: `vertices = scale * model(global_orient, hand_pose, betas) + transl`, the model's
  own origin included, exactly as in MANO and smplx.
"""
