from collections import Counter

from trainer.sample.chance import Stream, deal, stream


def test_a_deal_is_exact_over_whole_decks_and_shuffled_within():
    deck = tuple("aab")
    dealt = [deal(deck, 7, Stream.CLASS_DECK, i) for i in range(300)]
    assert Counter(dealt) == {"a": 200, "b": 100}
    assert len({tuple(dealt[i : i + 3]) for i in range(0, 300, 3)}) == 3


def test_streams_of_one_seed_differ():
    firsts = {float(stream(7, purpose, index).random()) for purpose in Stream for index in range(3)}
    assert len(firsts) == len(Stream) * 3
