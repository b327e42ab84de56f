from backend.store.project import ProjectStore


def test_contents_come_back_by_their_hash(store: ProjectStore) -> None:
    contents = store.contents
    assert contents.read([1]) == {}
    contents.save({2**64 - 1: {"text": "ü 😀 日本"}, 0: {}})
    contents.save({})
    assert contents.read([2**64 - 1, 0, 5]) == {2**64 - 1: {"text": "ü 😀 日本"}, 0: {}}


def test_many_contents_take_several_requests(store: ProjectStore) -> None:
    many = {number: {"text": str(number)} for number in range(2_500)}
    store.contents.save(many)
    assert store.contents.read(many) == many
