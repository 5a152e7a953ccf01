"""The builder of the open hand: from published anthropometry to `weights/open_hand.npz`.

Run `python -m train.open_hand --out FILE`. The hand is procedural: a skeleton and finger profiles (data
in `anthropometry`) become a signed distance field, a mesh of 778 vertices, skinning weights, a shape space,
a pose space and pose correctives. No scan and no other hand model enters.
"""
