"""Hand files of both kinds are read exactly or refused in one line, whatever is in them."""

import io
import os
import tracemalloc
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import HandModelError, OutputError
from tracker.geometry import hand_files
from tracker.geometry.hand_files import (
    MANO_TIP_IDS,
    HandArrays,
    default_hand_file,
    read_hand_file,
    write_hand_file,
)


@pytest.fixture
def small_file(tmp_path, small_hand) -> Path:
    write_hand_file(tmp_path / "small.npz", small_hand)
    return tmp_path / "small.npz"


def refusal(path: Path) -> str:
    """The message a path is refused with: one line that names the file and says what to do."""
    with pytest.raises(HandModelError) as caught:
        read_hand_file(path)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    assert "--hand-model" in message
    return message


def changed(path: Path, **changes: np.ndarray | None) -> Path:
    """Rewrite an npz with some arrays replaced or, for None, left out."""
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def assert_equal_hands(a: HandArrays, b: HandArrays, *, but: tuple[str, ...] = ("sha256",)) -> None:
    for field in fields(HandArrays):
        if field.name not in but:
            np.testing.assert_array_equal(
                getattr(a, field.name), getattr(b, field.name), err_msg=field.name
            )


@pytest.fixture(scope="module")
def small_bytes(small_hand, tmp_path_factory) -> bytes:
    """The small hand's file, not compressed, so that damage reaches the headers."""
    path = tmp_path_factory.mktemp("hands") / "stored.npz"
    write_hand_file(path, small_hand)
    return changed(path).read_bytes()


class TestOurFile:
    def test_the_default_is_a_hand_of_778_vertices_and_1538_faces(self):
        hand = read_hand_file()
        assert hand.v_template.shape == (778, 3)
        assert hand.f.shape == (1538, 3)
        assert hand.side == "right"
        assert hand.model_id.startswith("open_hand-")
        assert len(hand.sha256) == 64
        assert hand.tip_ids == MANO_TIP_IDS["right"]

    def test_writing_and_reading_returns_the_hand_in_float32(self, small_hand, small_file):
        values = {f.name: getattr(small_hand, f.name) for f in fields(small_hand)}
        rounded = {
            k: v.astype(np.float32).astype(float)
            for k, v in values.items()
            if isinstance(v, np.ndarray) and k != "f"
        }
        assert_equal_hands(read_hand_file(small_file), replace(small_hand, **rounded))

    def test_side_masks_and_name_survive(self, tmp_path, small_hand):
        masks = {k: np.linspace(0, 1, 40) for k in ("mask_palmar", "mask_nail", "mask_knuckle")}
        left = replace(small_hand, side="left", model_id="mine-7", **masks)
        write_hand_file(tmp_path / "left.npz", left)
        found = read_hand_file(tmp_path / "left.npz")
        assert (found.side, found.model_id) == ("left", "mine-7")
        np.testing.assert_allclose(found.mask_nail, masks["mask_nail"], atol=1e-7)

    def test_equal_hands_give_equal_files(self, tmp_path, small_hand):
        for name in ("a.npz", "b.npz"):
            write_hand_file(tmp_path / name, small_hand)
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
        assert (
            read_hand_file(tmp_path / "a.npz").sha256 == read_hand_file(tmp_path / "b.npz").sha256
        )

    def test_what_may_be_missing_may_be_missing(self, small_file):
        found = read_hand_file(changed(small_file, hands_coeffs=None, model_id=None, side=None))
        assert found.hands_coeffs.shape == (0, 45)
        assert (found.side, found.model_id, found.mask_nail) == ("right", "open_hand-0", None)

    def test_unknown_arrays_are_never_opened(self, small_file):
        assert read_hand_file(changed(small_file, extra=np.array([{}], object)))

    def test_fortran_order_and_foreign_bytes_are_read(self, small_file, small_hand):
        v_template = np.asfortranarray(small_hand.v_template.astype(">f8"))
        found = read_hand_file(changed(small_file, v_template=v_template))
        np.testing.assert_array_equal(found.v_template, small_hand.v_template)

    def test_the_wheels_folder_is_searched_after_the_checkout(self, tmp_path, monkeypatch):
        checkout, wheel = tmp_path / "weights", tmp_path / "_weights"
        monkeypatch.setattr(hand_files, "REPOSITORY_WEIGHTS", checkout)
        monkeypatch.setattr(hand_files, "PACKAGED_WEIGHTS", wheel)
        with pytest.raises(HandModelError, match=r"python -m train\.open_hand"):
            default_hand_file()
        for folder in (wheel, checkout):
            folder.mkdir()
            (folder / "open_hand.npz").touch()
            assert default_hand_file() == folder / "open_hand.npz"


class TestRefusals:
    @pytest.mark.parametrize("key", ["v_template", "f", "weights", "posedirs", "kintree_table"])
    def test_missing_arrays_are_named(self, small_file, key):
        assert f"it lacks {key};" in refusal(changed(small_file, **{key: None}))

    def test_all_missing_arrays_are_named(self, tmp_path):
        np.savez(tmp_path / "other.npz", image=np.zeros(3))
        assert "it lacks v_template, f, weights, J_regressor, " in refusal(tmp_path / "other.npz")

    @pytest.mark.parametrize(
        ("key", "value", "reason"),
        [
            ("v_template", np.zeros((40, 2)), "v_template must have shape (V, 3), found (40, 2)"),
            ("v_template", np.zeros(3), "v_template must have shape (V, 3), found (3,)"),
            ("weights", np.zeros((39, 16)), "weights must have shape (40, 16), found (39, 16)"),
            ("J_regressor", np.zeros((40, 16)), "J_regressor must have shape (16, 40)"),
            ("shapedirs", np.zeros((40, 3, 20)), "shapedirs must have shape (40, 3, 10)"),
            ("posedirs", np.zeros((40, 3, 207)), "posedirs must have shape (40, 3, 135)"),
            ("hands_mean", np.zeros((1, 45)), "hands_mean must have shape (45)"),
            ("mask_nail", np.zeros(41), "mask_nail must have shape (40)"),
            ("f", np.zeros((0, 3), int), "f has 0 rows"),
            ("f", np.zeros((9, 3)), "f must be integers, found float64"),
            ("f", np.full((9, 3), 40), "f must index 40 vertices, found 40 to 40"),
            ("f", np.full((9, 3), -1), "f must index 40 vertices, found -1 to -1"),
            ("tip_ids", np.array([0, 1, 2, 3, 99]), "tip_ids must index 40 vertices"),
            ("v_template", np.zeros((40, 3), int), "v_template must be real numbers"),
            ("v_template", np.full((40, 3), np.nan), "v_template holds values that are not finite"),
            ("v_template", np.full((40, 3), 1e300), "v_template"),
            (
                "posedirs",
                np.full((40, 3, 135), np.inf),
                "posedirs holds values that are not finite",
            ),
            ("weights", np.full((40, 16), 1 / 15), "rows of weights must sum to 1"),
            ("weights", np.tile([-0.5, 1.5] + [0] * 14, (40, 1)), "weights must not be negative"),
            ("J_regressor", np.zeros((16, 40)), "rows of J_regressor must sum to 1"),
            ("kintree_table", np.zeros((2, 16), int), "kintree_table must be MANO's tree"),
            ("kintree_table", np.zeros((2, 24), int), "kintree_table must have shape (2, 16)"),
            ("side", np.array("both"), "its side must be left or right, found 'both'"),
            ("model_id", np.array("x" * 1000), "model_id must be at most 200 characters"),
            ("model_id", np.array(7), "model_id must be text"),
            ("tip_ids", None, "it lacks tip_ids"),
        ],
    )
    def test_wrong_arrays_are_refused(self, small_file, key, value, reason):
        assert reason in refusal(changed(small_file, **{key: value}))

    def test_a_hand_in_millimetres_is_refused(self, small_file, small_hand):
        path = changed(small_file, v_template=small_hand.v_template * 1000)
        assert "v_template must be a hand in metres" in refusal(path)

    def test_a_pickle_inside_an_npz_is_refused_unread(self, small_file, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.system, (f"touch {tmp_path / 'ran'}",)

        path = changed(small_file, v_template=np.array([Evil()], object))
        assert "v_template must be real numbers, found object" in refusal(path)
        assert not (tmp_path / "ran").exists()

    def test_structured_arrays_are_refused(self, small_file):
        path = changed(small_file, v_template=np.zeros((40, 3), "f8,f8"))
        assert "v_template must be real numbers" in refusal(path)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
    def test_truncated_files_are_refused(self, small_file, share):
        data = small_file.read_bytes()
        small_file.write_bytes(data[: int(share * len(data))])
        refusal(small_file)

    @pytest.mark.parametrize("name", ["hand.npz", "hand.pkl", "hand", "hand.txt"])
    @pytest.mark.parametrize(
        "data", [b"", b"garbage\n" * 99, b"PK\x03\x04" + b"\0" * 99, b"\x80\x02"]
    )
    def test_garbage_is_refused(self, tmp_path, name, data):
        (tmp_path / name).write_bytes(data)
        refusal(tmp_path / name)

    def test_paths_that_are_no_files_are_refused(self, tmp_path):
        assert "No such file" in refusal(tmp_path / "gone.npz")
        assert "it is not a file" in refusal(tmp_path)
        assert "it is not a file" in refusal(Path("/dev/zero"))
        assert "null" in refusal(tmp_path / "a\0b.npz")
        assert "No such file" in refusal(tmp_path / "two\nlines.npz")

    def test_huge_files_are_refused_unread(self, tmp_path):
        with (tmp_path / "big.npz").open("wb") as file:
            file.truncate(2**40)
        assert "more than any hand model" in refusal(tmp_path / "big.npz")

    def test_a_hand_that_cannot_be_is_not_written(self, tmp_path, small_hand):
        with pytest.raises(HandModelError, match="weights"):
            write_hand_file(tmp_path / "x.npz", replace(small_hand, weights=small_hand.weights * 2))
        assert list(tmp_path.iterdir()) == []

    def test_unwritable_places_are_named(self, tmp_path, small_hand):
        with pytest.raises(OutputError, match=r"cannot write .*gone/x\.npz"):
            write_hand_file(tmp_path / "gone" / "x.npz", small_hand)
        (tmp_path / "folder.npz").mkdir()
        with pytest.raises(OutputError, match="a folder stands where the file"):
            write_hand_file(tmp_path / "folder.npz", small_hand)
        assert [p.name for p in tmp_path.iterdir()] == ["folder.npz"]


def _npy(
    header: dict[str, object], content: bytes = b"", version: tuple[int, int] = (1, 0)
) -> bytes:
    stream = io.BytesIO()
    write = (
        np.lib.format.write_array_header_1_0
        if version[0] == 1
        else np.lib.format.write_array_header_2_0
    )
    write(stream, header)
    return stream.getvalue() + content


class TestArchives:
    """Headers are judged before anything is allocated."""

    def with_member(
        self, path: Path, key: str, content: bytes, method: int = zipfile.ZIP_DEFLATED
    ) -> Path:
        with zipfile.ZipFile(path) as old:
            members = {n: old.read(n) for n in old.namelist()}
        with zipfile.ZipFile(path, "w", method) as new:
            for name, data in (members | {f"{key}.npy": content}).items():
                new.writestr(name, data)
        return path

    @pytest.mark.parametrize("shape", [(10**9, 3), (2**40, 3), (20_001, 3), (0, 3)])
    def test_absurd_sizes_are_refused_without_allocating(self, small_file, shape):
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        path = self.with_member(small_file, "v_template", _npy(header))
        tracemalloc.start()
        message = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert f"v_template has {shape[0]} rows, allowed are 1 to 20000" in message
        assert peak < 3e6

    def test_a_zip_bomb_is_not_unpacked(self, small_file):
        header = {"descr": "<f4", "fortran_order": False, "shape": (40, 3, 135)}
        path = self.with_member(small_file, "posedirs", _npy(header, bytes(30_000_000)))
        tracemalloc.start()
        message = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "posedirs claims 64800 bytes and has 64801 or more" in message
        assert peak < 3e6

    def test_an_array_shorter_than_its_header_is_refused(self, small_file):
        header = {"descr": "<f4", "fortran_order": False, "shape": (40, 3, 135)}
        message = refusal(self.with_member(small_file, "posedirs", _npy(header, bytes(100))))
        assert "posedirs claims 64800 bytes and has 100" in message

    def test_npy_format_2_is_read_and_3_is_refused(self, small_file, small_hand):
        header = {"descr": "<f8", "fortran_order": False, "shape": (40, 3)}
        content = _npy(header, small_hand.v_template.tobytes(), (2, 0))
        found = read_hand_file(self.with_member(small_file, "v_template", content))
        np.testing.assert_array_equal(found.v_template, small_hand.v_template)
        content = content[:6] + b"\x03" + content[7:]
        assert "format (3, 0)" in refusal(self.with_member(small_file, "v_template", content))

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_other_compressions_are_refused(self, small_file, method):
        with zipfile.ZipFile(small_file) as old:
            content = old.read("v_template.npy")
        path = self.with_member(small_file, "v_template", content, method)
        assert "is compressed by method" in refusal(path)

    def test_encrypted_archives_are_refused(self, small_file):
        data = bytearray(small_file.read_bytes())
        for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = data.find(marker)
            while at >= 0:
                data[at + offset] |= 1
                at = data.find(marker, at + 1)
        small_file.write_bytes(bytes(data))
        assert "encrypted" in refusal(small_file)

    def test_crowded_archives_are_refused(self, small_file):
        with zipfile.ZipFile(small_file, "a") as archive:
            for i in range(300):
                archive.writestr(f"{i}", b"")
        assert "more than 256 members" in refusal(small_file)

    @pytest.mark.parametrize(
        "header", [b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x01\x00\x02\x00{}", b"PICKLE", b""]
    )
    def test_broken_headers_are_refused(self, small_file, header):
        refusal(self.with_member(small_file, "v_template", header))

    @settings(max_examples=100)
    @given(
        damages=st.lists(
            st.tuples(st.integers(0, 99), st.integers(0, 200), st.integers(0, 255)), max_size=4
        )
    )
    def test_a_damaged_file_is_read_or_refused_but_never_breaks(
        self, small_bytes, tmp_path_factory, damages
    ):
        whole = bytearray(small_bytes)
        starts = [i for i in range(len(whole) - 4) if whole[i : i + 2] == b"PK"]
        for start, offset, value in damages:
            whole[min(starts[start % len(starts)] + offset, len(whole) - 1)] = value
        path = tmp_path_factory.getbasetemp() / "damaged.npz"
        path.write_bytes(bytes(whole))
        try:
            assert read_hand_file(path).f.size
        except HandModelError:
            refusal(path)
