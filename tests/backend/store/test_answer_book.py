from backend.store.project import ProjectStore


def test_equal_answers_have_one_number_for_good(store: ProjectStore) -> None:
    book = store.answer_book
    first = book.numbers_of(['["a"]', "[]", '["a"]', '["ü 😀"]'])
    assert first == [0, 1, 0, 2]
    assert book.numbers_of(["[]", '["b"]']) == [1, 3]
    assert book.read([2, 3, 2]) == {2: ["ü 😀"], 3: ["b"]}


def test_unknown_numbers_have_no_answer(store: ProjectStore) -> None:
    assert store.answer_book.read([0, -1, 7]) == {}
    assert store.answer_book.numbers_of([]) == []


def test_many_answers_take_several_requests(store: ProjectStore) -> None:
    answers = [f"[{number}]" for number in range(2_500)]
    numbers = store.answer_book.numbers_of(answers)
    assert sorted(numbers) == list(range(2_500))
    found = store.answer_book.read(numbers)
    assert [found[number] for number in numbers] == [[number] for number in range(2_500)]
