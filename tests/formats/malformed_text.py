"""Malformed text dumps: rows of test_malformed.py."""
ROWS = []


def case(name, text, offset, message):
    ROWS.append((f"text: {name}", "x.txt", text.encode() if isinstance(text, str) else text, offset, message))


case("empty", "", 0, "found no value, expected one per line")
case("only remarks", "# hello\n# Data:\n", 0, "found no value")
case("prose", "Once upon a time\n", 0, "found 'Once upon a time', expected value 0")
case("prose later", "1\n2\nthree\n", 4, "found 'three', expected value 2")
case("two values in one line only", "1\n2 3\n", 2, "found 2 values in a line, expected 1 as in the lines before")
case("a row that is short", "1 2 3\n4 5\n", 6, "found 2 values in a line, expected 3 as in the lines before")
case("a row with a word", "1 2 3\n4 x 6\n", 8, "found 'x', expected value 4")
case("a row with two commas and no value", "1,2\n3,,\n", 4, "found 1 values in a line, expected 2")
case("a row with a NUL", b"1 2\n3 4\0\n", 6, "expected value 3")
case("NUL in a value", b"1\n2\0\n", 2, "expected value 1")
case("line of 1 MB", "1\n" + "9" * 1_000_000, 2, "found '9999999999999999999999999999999999999999', expected value 1")
case("wrong index", "0: 1\n2: 1\n", 5, "found '2: 1', expected value 1")
case("index of 2^64", "18446744073709551616: 1\n", 0, "expected value 0")
case("fewer values", "# Shape: (3,)\n1\n2\n", 14, "found 2 values, expected 3 according to its shape")
case("more values", "# Shape: (3,)\n1\n2\n3\n4\n", 14, "found 4 values, expected 3 according to its shape")
case("elision by dots", "# Shape: (9,)\n1\n...\n2\n", 14, "found 2 values, expected 9 according to its shape (only the first")
case("elision without a shape", "1\n...\n2\n", 0, "found 2 values, which are not all, according to the dump")
case("shape of 1 TB", "# Shape: (1000000, 1000000)\n1\n", 28, "found 1 values, expected 1000000000000")
case("shape that wraps", "# Shape: 4294967296x4294967296\n1\n", 0, "overflows 64 bits")
case("0 hides 2^80", "# Shape: 0x1099511627776x1099511627776\n", 0, "overflows 64 bits")
case("axis of 2^64", "# Shape: 18446744073709551616\n1\n", 0, "found an axis of more than 64 bits")
case("negative axis", "# Shape: (-1,)\n1\n", 0, "found '-1,)' in a shape")
case("9 axes", "# Shape: 1x1x1x1x1x1x1x1x1\n1\n", 0, "found more than 8 axes")
case("two shapes", "# Shape: 1\n# Shape: 2\n1\n", 11, "found a second shape")
