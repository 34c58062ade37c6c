"""What a reload keeps."""

from gateway.kept import Kept


def test_what_is_made_of_the_same_objects_is_kept_and_the_rest_made_anew_or_forgotten() -> None:
    made: list[str] = []
    kept: Kept[list[str]] = Kept()
    stages, route, other = object(), object(), object()

    def get(name: str, *parts: object) -> list[str]:
        def make() -> list[str]:
            made.append(name)
            return [name]

        return kept.get(name, parts, make)

    first = get("a", route, stages), get("b", other, stages), get("c", other)
    kept.turn()
    assert get("a", route, stages) is first[0]
    assert get("b", object(), stages) is not first[1]
    kept.turn()
    assert get("c", other) is not first[2]  # it was not asked for in between
    assert get("a", route) is not first[0]  # of less than before
    assert made == ["a", "b", "c", "b", "c", "a"]


def test_equal_is_not_the_same() -> None:
    kept: Kept[object] = Kept()
    first = kept.get("a", ([1],), object)
    kept.turn()
    assert kept.get("a", ([1],), object) is not first
