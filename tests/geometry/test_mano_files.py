"""The official MANO files are read exactly, put right where they are wrong, or refused in one line."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tracker.errors import HandModelError
from tracker.geometry.hand_files import read_hand_file


def refusal(path: Path) -> str:
    """The message a path is refused with."""
    with pytest.raises(HandModelError) as caught:
        read_hand_file(path)
    return str(caught.value)


def test_it_is_read_exactly(tmp_path, hand, mano_pickle):
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(mano_pickle)
    found = read_hand_file(tmp_path / "MANO_RIGHT.pkl")
    for key in set(hand) - {"kintree_table"}:
        np.testing.assert_array_equal(getattr(found, key), hand[key], err_msg=key)
    assert (found.side, found.model_id) == ("right", "mano")
    assert found.tip_ids == (745, 317, 444, 556, 673)
    assert found.mask_palmar is None


@pytest.mark.parametrize("fault", [False, True], ids=["correct", "published"])
@pytest.mark.parametrize("alone", [False, True], ids=["with right", "alone"])
def test_the_left_file_is_put_right(
    tmp_path, hand, mano_pickle, make_left, make_pickle, fault, alone
):
    left = make_left(hand)
    stored = hand["shapedirs"][:, :1] if fault else left["shapedirs"][:, :1]
    file = left | {"shapedirs": np.concatenate([stored, left["shapedirs"][:, 1:]], 1)}
    (tmp_path / "MANO_LEFT.pkl").write_bytes(make_pickle(file, python2=True))
    if not alone:
        (tmp_path / "MANO_RIGHT.pkl").write_bytes(mano_pickle)
    found = read_hand_file(tmp_path / "MANO_LEFT.pkl")
    np.testing.assert_array_equal(found.shapedirs, left["shapedirs"])
    assert found.side == "left"
    assert found.tip_ids == (745, 317, 445, 556, 673)


def test_a_broken_right_file_does_not_spoil_the_left(tmp_path, hand, make_left, make_pickle):
    left = make_left(hand)
    (tmp_path / "MANO_LEFT.pkl").write_bytes(make_pickle(left))
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(b"\x80\x02broken")
    found = read_hand_file(tmp_path / "MANO_LEFT.pkl")
    np.testing.assert_array_equal(found.shapedirs, left["shapedirs"])


def test_the_side_comes_from_the_name_or_else_the_fingers(
    tmp_path, hand, mano_pickle, make_left, make_pickle, caplog
):
    left = make_pickle(make_left(hand))
    for name, data, side in [
        ("mano_v1_2.pkl", mano_pickle, "right"),
        ("mano_v1_2.pkl", left, "left"),
        ("my_mano_left.pkl", left, "left"),
        ("left_and_right.pkl", left, "left"),
    ]:
        (tmp_path / name).write_bytes(data)
        assert read_hand_file(tmp_path / name).side == side
    assert caplog.text == ""
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(left)
    assert read_hand_file(tmp_path / "MANO_RIGHT.pkl").side == "right"
    assert "looks like a left hand; its name is believed" in caplog.text


def test_other_models_are_refused(tmp_path, hand, make_hand, make_pickle, rng):
    body = hand | {"weights": np.full((778, 24), 1 / 24)}
    for name, data, reason in [
        ("SMPL.pkl", make_pickle(body), "weights must have shape (778, 16), found (778, 24)"),
        ("small.pkl", make_pickle(make_hand(rng, 90)), "MANO has 778 vertices and this has 90"),
        ("no_faces.pkl", make_pickle({k: hand[k] for k in hand if k != "f"}), "it lacks f;"),
        ("empty.pkl", pickle.dumps({}), "it lacks v_template, f, weights"),
        ("list.pkl", pickle.dumps([1]), "holds a list, not a hand model"),
        ("faces.pkl", make_pickle(hand | {"f": hand["f"][:0]}), "f"),
    ]:
        (tmp_path / name).write_bytes(data)
        assert reason in refusal(tmp_path / name)


def test_an_executable_pickle_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (tmp_path / "MANO_RIGHT.pkl").write_bytes(pickle.dumps({"v_template": Evil()}))
    assert "it asks to run 'posix.system'" in refusal(tmp_path / "MANO_RIGHT.pkl")
    assert not (tmp_path / "ran").exists()
