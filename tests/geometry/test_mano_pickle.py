"""The official file's form is read exactly; nothing in a file is ever run; sizes are never believed."""

import builtins
import os
import pickle
import struct
import subprocess
import sys
import time
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import HandModelError
from tracker.geometry.mano_pickle import left_shapedirs_flipped, read_mano_pickle

FLIP_X = np.array([[-1.0], [1.0], [1.0]])


@pytest.mark.parametrize(
    ("protocol", "python2"), [(2, True), (0, False), (1, False), (2, False), (4, False), (5, False)]
)
def test_chumpy_arrays_are_read_exactly(hand, make_pickle, protocol, python2):
    data = make_pickle(hand, protocol, python2=python2)
    found = read_mano_pickle(data, list(hand))
    assert found.keys() == hand.keys()
    for key, value in hand.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


def test_the_made_up_file_mentions_the_official_globals(mano_pickle):
    for name in (b"chumpy.ch\nCh", b"chumpy.reordering\nSelect", b"scipy.sparse.csc\ncsc_matrix"):
        assert name in mano_pickle
    assert b"numpy.core.multiarray\n_reconstruct" in mano_pickle
    assert b"_codecs" not in mano_pickle  # so its arrays are Python 2 strings


def test_reading_needs_neither_chumpy_nor_scipy(mano_pickle, tmp_path):
    (tmp_path / "hand.pkl").write_bytes(mano_pickle)
    program = (
        "import sys, pathlib; sys.modules['chumpy'] = sys.modules['scipy'] = None\n"
        "from tracker.geometry.mano_pickle import read_mano_pickle\n"
        f"data = pathlib.Path({str(tmp_path / 'hand.pkl')!r}).read_bytes()\n"
        "print(read_mano_pickle(data, ['J_regressor'])['J_regressor'].shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "(16, 778)", done.stderr


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False]),
        np.ones((1, 3), np.float16),
        np.array(5, np.uint64),
    ],
    ids=lambda a: str(a.dtype),
)
@pytest.mark.parametrize("protocol", range(6))
def test_every_plain_array_is_read(array, protocol):
    found = read_mano_pickle(pickle.dumps({"a": array}, protocol), ["a"])["a"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


class _Calls:
    """Pickles as a call, as an attacker would write it."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "args", "name"),
    [
        (os.system, ("touch {canary}",), "posix.system"),
        (eval, ("open({canary!r}, 'w')",), "eval"),
        (exec, ("open({canary!r}, 'w')",), "exec"),
        (getattr, ("", "format"), "getattr"),
        (partial, (print,), "functools.partial"),
        (subprocess.Popen, (["touch", "{canary}"],), r"(subprocess|commands)\.Popen"),
        (np.load, ("{canary}",), "load"),
        (builtins.open, ("{canary}", "w"), "open"),
        (OrderedDict, (), "OrderedDict"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_executable_pickles_are_refused_by_name(tmp_path, function, args, name, protocol):
    canary = tmp_path / "ran"
    args = tuple(a.format(canary=str(canary)) if isinstance(a, str) else a for a in args)
    data = pickle.dumps({"v_template": _Calls(function, *args)}, protocol)
    with pytest.raises(HandModelError, match=name):
        read_mano_pickle(data, ["v_template"])
    assert not canary.exists()


def test_allowed_names_do_not_run_either():
    node = _Calls(bytearray, 10**15)  # would be a petabyte if it were called
    with pytest.raises(HandModelError, match=r"'a' cannot be read .*bytearray"):
        read_mano_pickle(pickle.dumps({"a": node, "b": np.zeros(1)}), ["a"])


def test_a_file_cannot_change_what_the_next_file_meets(mano_pickle):
    # BUILD with a slot state sets attributes of whatever lies on the stack, here a class.
    attack = b"\x80\x02cnumpy\nndarray\nN}X\x04\x00\x00\x00kindX\x01\x00\x00\x00xs\x86b."
    with pytest.raises(HandModelError):
        read_mano_pickle(attack, ["v_template"])
    assert read_mano_pickle(mano_pickle, ["v_template"])["v_template"].shape == (778, 3)


@pytest.mark.parametrize("content", [[1, 2], [_Calls(os.system, "true")]], ids=["plain", "evil"])
def test_object_arrays_are_refused(content):
    array = np.empty(len(content), object)
    array[:] = content
    with pytest.raises(HandModelError, match=r"'O8' are not numbers|posix\.system"):
        read_mano_pickle(pickle.dumps({"a": array}, 2), ["a"])


@pytest.mark.parametrize("dtype", ["S4", "U4", "M8[s]", "f8,i4", "c16"])
def test_arrays_of_other_things_than_real_numbers_are_refused(dtype):
    with pytest.raises(HandModelError, match="are not numbers"):
        read_mano_pickle(pickle.dumps({"a": np.zeros(2, dtype)}, 2), ["a"])


def _array_claiming(shape: tuple[int, ...]) -> bytes:
    data = pickle.dumps({"a": np.zeros((3, 5))}, 2)
    return data.replace(b"K\x03K\x05\x86", pickle.dumps(shape, 2)[2:-1])


def test_the_claiming_array_is_read_when_it_tells_the_truth():
    assert read_mano_pickle(_array_claiming((5, 3)), ["a"])["a"].shape == (5, 3)


@pytest.mark.parametrize("shape", [(10**6, 10**6), (3, -5), (16,), (2**63, 2**63), ("3", 5)])
def test_an_array_must_have_the_bytes_it_claims(shape):
    with pytest.raises(HandModelError, match="'a' cannot be read"):
        read_mano_pickle(_array_claiming(shape), ["a"])


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "absurd index"),
        (b"\x80\x02" + b"N0" * 200_000 + b"N.", "more than 200000 instructions"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"abc.", "damaged"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**50) + b"N.", "damaged"),
        (b"\x80\x02\x82\x01.", "extension"),
        (b"\x80\x02]q\x00h\x00a.", "holds a list"),
        (b"", "damaged"),
        (b"not a pickle at all", "damaged"),
        (b"\x80\x02Pwho\n.", "damaged"),
        (b"\x80\xff.", "damaged"),
        (b"\x80\x02.", "damaged"),
    ],
)
def test_bombs_and_garbage_are_refused_at_once(bomb, reason):
    start = time.perf_counter()
    with pytest.raises(HandModelError, match=reason):
        read_mano_pickle(bomb, ["a"])
    assert time.perf_counter() - start < 1


def test_nested_lists_are_never_expanded():
    laughs: object = [0.0] * 10
    for _ in range(30):
        laughs = [laughs] * 10
    with pytest.raises(HandModelError, match="expected an array, found a list"):
        read_mano_pickle(pickle.dumps({"a": laughs}), ["a"])


def _with_sizes(data: bytes, old: tuple[int, ...], new: tuple[int, ...]) -> bytes:
    """Put other sizes where the file holds those of an object."""
    before, after = (pickle.dumps(sizes, 2)[2:-1] for sizes in (old, new))
    memo = before.index(b"q") if b"q" in before else len(before)
    assert before[:memo] in data
    return data.replace(before[:memo], after[: after.index(b"q")])


@pytest.mark.parametrize("shape", [(10**6, 10**6), (16, 39), (-16, 40), (2, 40), (0, 40)])
def test_a_sparse_matrix_must_add_up(make_hand, make_pickle, rng, shape):
    data = make_pickle(make_hand(rng, vertices=40))
    with pytest.raises(HandModelError, match="'J_regressor' cannot be read"):
        read_mano_pickle(_with_sizes(data, (16, 40), shape), ["J_regressor"])


@pytest.mark.parametrize("shape", [(10**6, 3, 10**6), (41, 3, 10), (-40, 3, 10)])
def test_a_selection_must_add_up(make_hand, make_pickle, rng, shape):
    data = make_pickle(make_hand(rng, vertices=40))
    with pytest.raises(HandModelError, match="'shapedirs' cannot be read"):
        read_mano_pickle(_with_sizes(data, (40, 3, 10), shape), ["shapedirs"])


@pytest.mark.parametrize("key", ["shapedirs", "J_regressor", "v_template"])
def test_any_truncation_is_refused(mano_pickle, key):
    for share in (0.1, 0.5, 0.9, 0.9999):
        with pytest.raises(HandModelError):
            read_mano_pickle(mano_pickle[: int(len(mano_pickle) * share)], [key])


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_but_never_breaks(make_hand, make_pickle, data):
    whole = bytearray(make_pickle(make_hand(np.random.default_rng(3), vertices=20)))
    # Most bytes are numbers of arrays; the interesting ones are near the ends of them.
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_mano_pickle(bytes(whole), ["v_template", "shapedirs", "J_regressor"])
    except HandModelError:
        return
    assert all(isinstance(a, np.ndarray) for a in found.values())


def test_a_bad_escape_in_damaged_text_is_no_warning():
    with pytest.raises(HandModelError):
        read_mano_pickle(b"S'\\\xc2'\n.", ["a"])


@settings(max_examples=200)
@given(st.binary(max_size=60).map(lambda b: b"\x80\x02" + b))
def test_random_programs_are_refused(program):
    with pytest.raises(HandModelError):
        read_mano_pickle(program, ["a"])


class TestLeftHand:
    def test_a_right_left_hand_is_left_alone(self, hand, make_left):
        left = make_left(hand)
        assert not left_shapedirs_flipped(left["v_template"], left["shapedirs"])
        assert not left_shapedirs_flipped(left["v_template"], left["shapedirs"], hand["shapedirs"])

    def test_the_published_error_is_found(self, hand, make_left):
        template = make_left(hand)["v_template"]
        wrong = make_left(hand)["shapedirs"] * FLIP_X  # x as on the right hand
        np.testing.assert_array_equal(wrong[:, 0], hand["shapedirs"][:, 0])
        assert left_shapedirs_flipped(template, wrong)
        assert left_shapedirs_flipped(template, wrong, hand["shapedirs"])

    def test_the_right_hand_decides_where_shape_says_nothing(self, hand, make_left, rng):
        directions = rng.normal(size=(778, 3, 10))
        template = make_left(hand)["v_template"]
        assert left_shapedirs_flipped(template, directions, directions)
        assert not left_shapedirs_flipped(template, directions * FLIP_X, directions)

    @given(seed=st.integers(0, 2**32), correlation=st.floats(0.3, 0.95))
    def test_alone_it_is_found_for_any_people(self, make_hand, make_left, seed, correlation):
        """Length and breadth vary among people with a positive correlation; PCA mixes them."""
        rng = np.random.default_rng(seed)
        hand = make_left(make_hand(rng, vertices=200))
        centred = hand["v_template"] - hand["v_template"].mean(0)
        common, own = correlation**0.5, (1 - correlation) ** 0.5
        factors = 0.05 * np.array([[common, own, 0], [common, 0, own], [common, 0, own]])
        mixing = np.linalg.qr(rng.normal(size=(10, 10)))[0][:3]  # unit variance is kept
        shift = rng.normal(size=(3, 10)) * 0.01  # where the origin lies does not matter
        directions = np.einsum("vc,cf,fk->vck", centred, factors, mixing) + shift
        assert not left_shapedirs_flipped(hand["v_template"], directions)
        assert left_shapedirs_flipped(hand["v_template"], directions * FLIP_X)


def test_the_open_hand_obeys_the_law_of_breadth():
    from tracker.geometry.hand_files import default_hand_file

    with np.load(Path(default_hand_file())) as file:
        template, directions = file["v_template"] * FLIP_X.T, file["shapedirs"] * FLIP_X
    assert not left_shapedirs_flipped(template, directions)
    assert left_shapedirs_flipped(template, directions * FLIP_X)
