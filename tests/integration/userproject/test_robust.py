def test_one_edit_costs_at_most_a_fifth(recommender, interaction_log, assert_bounded_degradation):
    assert_bounded_degradation(
        recommender,
        interaction_log,
        attack=["random-substitution", "worst-case"],
        budget={"edits": 1},
        metric="ndcg@10",
        max_drop=0.20,
    )
