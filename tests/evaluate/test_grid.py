from camoe.evaluate.grid import grid


def test_columns_line_up() -> None:
    lines = grid(["run", "loss"], [("first", ["a", "b"]), ("second", ["c"])], [["x", "ce", "1", "22.5", "-"]])
    assert lines == [
        "             first      second",
        "run  loss    a     b    c",
        "x    ce      1  22.5    -",
    ]
