"""The leaderboard: small files, a row for each victim behind each defence, made from reviews that are sound.

Submodules: `rows` (what a file holds), `refusal` (what keeps a review out), `board` (tables), `console` and `page`
(their forms), `commands`.
"""
