import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from t2i.data import images
from t2i.errors import UserError


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (7, 5)).save(path)
    opened = images.open_rgb(path)
    assert (opened.mode, opened.size) == ("RGB", (7, 5))


def test_a_truncated_jpeg_is_named(tmp_path, draw_picture):
    path = draw_picture(tmp_path / "cut.jpg", 200, 200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"cannot be read as an image.*truncated") as caught:
        images.open_rgb(path)
    assert str(path) in caught.value.problem
    assert "Replace the file" in caught.value.mend


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff"])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
        images.open_rgb(path)


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg is missing"):
        images.open_rgb(tmp_path / "gone.jpg")


def test_bird_box_follows_the_official_arithmetic():
    assert images.bird_box((69.9, 57.9, 199.9, 141.9), 500, 335) == (19, 0, 317, 276)  # 149 around (168, 127)
    assert images.bird_box((0, 0, 10, 11), 100, 100) == (0, 0, 13, 13)


@pytest.mark.parametrize("box", [(90, 10, 40, 40), (-20, 0, 50, 50), (10, 95, 20, 9), (200, 200, 10, 10)])
def test_a_box_outside_its_image_is_named(box):
    with pytest.raises(UserError, match="lies outside its image of 100 × 100 px") as caught:
        images.bird_box(box, 100, 100)
    assert f"({box[0]}, {box[1]}, {box[2]}, {box[3]})" in caught.value.problem
    assert "x, y, width, height" in caught.value.mend


@pytest.mark.parametrize(
    "box", [(1, 1, 0, 5), (1, 1, 5, 0.9), (1, 1, -5, 5), (float("nan"), 1, 5, 5), (1, 1, float("inf"), 5)]
)
def test_a_box_without_area_is_named(box):
    with pytest.raises(UserError, match="has no area"):
        images.bird_box(box, 100, 100)


def test_a_box_may_stick_out_by_a_little():
    images.bird_box((-2, 0, 104, 50), 100, 100)  # 2 px
    images.bird_box((0, 0, 1010, 50), 1000, 1000)  # 1 %
    with pytest.raises(UserError):
        images.bird_box((0, 0, 103, 50), 100, 100)


@given(
    st.tuples(st.integers(3, 400), st.integers(3, 400)),
    st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.05, 1), st.floats(0.05, 1)),
)
def test_bird_box_stays_in_its_image_and_has_area(size, share):
    width, height = size
    x, y = share[0] * width, share[1] * height
    box = (x, y, max(1, share[2] * (width - x)), max(1, share[3] * (height - y)))
    left, top, right, bottom = images.bird_box(box, width, height)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.tuples(*[st.one_of(st.floats(), st.floats(-3, 40))] * 4),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["box", "whole"]),
    st.sampled_from(["shorter", "square"]),
)
@example((20.0, 0.0, 2.0, 2.0), (20, 20), "box", "shorter")  # beyond the border by what is spared
@example((3.0, 3.0, 1.0, 1.0), (20, 20), "box", "square")
def test_any_box_leaves_a_picture_or_is_refused_in_one_sentence(box, size, crop, resize):
    try:
        picture = images.prepare(Image.new("RGB", size), box, 8, crop, resize)
    except UserError as error:
        assert error.problem.startswith("The box (") and "\n" not in error.problem
    else:
        assert min(picture.size) == 9


@pytest.mark.parametrize(
    ("crop", "resize", "size"),
    [
        ("whole", "shorter", (114, 76)),
        ("whole", "square", (76, 76)),
        ("box", "shorter", (76, 76)),
        ("box", "square", (76, 76)),
    ],
)
def test_prepare_brings_the_picture_to_76_64ths(crop, resize, size):
    assert images.prepare(Image.new("RGB", (300, 200)), (100, 100, 40, 20), 64, crop, resize).size == size


def test_prepare_takes_the_whole_picture_where_there_is_no_box():
    assert images.prepare(Image.new("RGB", (300, 200)), None, 64, "box", "shorter").size == (114, 76)


def test_prepare_refuses_unknown_words():
    with pytest.raises(ValueError, match="crop is box or whole"):
        images.prepare(Image.new("RGB", (9, 9)), None, 64, "bird", "square")


def _numbered(height, width):
    return np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3).astype(np.uint8)


def test_random_crop_reaches_every_place_and_both_sides():
    picture = _numbered(5, 6)
    top_left = images.random_crop(picture, 4, (0, 0, 0.5))
    bottom_right = images.random_crop(picture, 4, (0.999, 0.999, 0.999))
    mirrored = images.random_crop(picture, 4, (0, 0, 0.499))
    assert np.array_equal(top_left, picture[:4, :4])
    assert np.array_equal(bottom_right, picture[1:, 2:])
    assert np.array_equal(mirrored, picture[:4, 3::-1])


def test_centre_crop():
    assert np.array_equal(images.centre_crop(_numbered(6, 8), 4), _numbered(6, 8)[1:5, 2:6])


def test_pyramid_resizes_each_level_from_the_crop():
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    small, middle, large = images.pyramid(crop[:, ::-1], (16, 32, 64))
    assert (small.shape, middle.shape) == ((16, 16, 3), (32, 32, 3))
    assert np.array_equal(large, crop[:, ::-1])
    assert np.array_equal(small, np.asarray(Image.fromarray(large).resize((16, 16), Image.BILINEAR)))


def test_to_tensor_and_back_is_exact():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    tensor = images.to_tensor(every)
    assert tensor.shape == (1, 3, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(images.to_uint8(tensor).numpy().transpose(0, 2, 3, 1), every)


def test_to_uint8_truncates_and_clamps():
    values = torch.tensor([-1.5, -1.0, 0.0, 0.9999, 1.0, 1.5], dtype=torch.bfloat16)
    assert images.to_uint8(values).tolist() == [0, 0, 127, 255, 255, 255]
    assert images.to_uint8(torch.tensor([0.999])).tolist() == [254]


def test_pictures_lie_channels_last_as_the_networks_want_them():
    tensor = images.to_tensor(np.zeros((2, 4, 5, 3), dtype=np.uint8))
    assert tensor.is_contiguous(memory_format=torch.channels_last)


def test_the_ten_views_are_the_middle_the_corners_and_their_mirror_images():
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    views = images.views(image, 4, 10)
    assert np.array_equal(views[0], images.centre_crop(image, 4))
    corners = image[:4, :4], image[:4, 4:], image[2:, :4], image[2:, 4:]
    for found, wanted in zip(views[1:5], corners, strict=True):
        assert np.array_equal(found, wanted)
    for plain, mirrored in zip(views[:5], views[5:], strict=True):
        assert np.array_equal(plain, mirrored[:, ::-1])
    assert len({view.tobytes() for view in views}) == 10
    assert [view.tobytes() for view in images.views(image, 4, 3)] == [view.tobytes() for view in views[:3]]


def test_enlarged_pictures_repeat_their_pixels():
    small = torch.arange(8).reshape(2, 1, 2, 2)
    large = images.enlarge(small, 6)
    assert large.shape == (2, 1, 6, 6)
    for row in range(6):
        for column in range(6):
            assert torch.equal(large[..., row, column], small[..., row // 3, column // 3])
    assert images.enlarge(small, 5).shape == (2, 1, 4, 4)
