"""The demo on the running stack: all samples become rows, once, and the exit code is honest."""


def test_the_demo_publishes_the_samples_once_and_tells_when_something_is_off(stack):
    first = stack.type("demo")
    sums = stack.receipt()
    again = stack.type("demo")

    assert (first.returncode, again.returncode) == (0, 0)
    assert (first.stdout, again.stdout) == ("", "")
    for words in ("The receipt", "mail inbox", "reports", "Where the time went", "Try next"):
        assert words in first.stderr
    assert "Nothing new" not in first.stderr
    assert "Nothing new" in again.stderr
    assert sums["datasets"]["samples"]["version"] == 1
    assert stack.receipt()["images"] == sums["images"]

    with without_an_original(stack):
        broken = stack.type("demo")

    assert broken.returncode == 1
    assert "no_quarantine_object" in broken.stderr
    assert stack.type("demo").returncode == 0


def without_an_original(stack):
    """Take away, until the block ends, what was kept of a sample that could not be read."""
    folder = "quarantine/samples/"
    listed = stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix=folder)["Contents"]
    key = next(one["Key"] for one in listed if one["Key"].endswith("/original"))
    return stack.without(key)
