"""What stands around the options: phrases in many languages and scripts. None of them says anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Of a hundred posts, how many are in a language, and its phrases.
LANGUAGES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (
        44,
        (
            "just saw this on the way home",
            "no idea what to say about it",
            "is it only me or is it everybody",
            "can't stop thinking about it",
            "third time this week and counting",
            "my whole family talks about it",
            "who else is still awake",
            "well, that was quick",
            "you have to see this",
            "not again, please",
            "what do you think?",
            "more of this tomorrow",
        ),
    ),
    (10, ("no puedo creerlo", "qué día más largo", "¿alguien más por aquí?", "mañana os cuento más")),
    (8, ("今日はいい天気ですね", "また明日も見に行く", "これはすごいと思います", "誰か教えてください")),
    (6, ("hoje foi um dia muito longo", "não sei o que dizer", "alguém mais viu isso?")),
    (5, ("encore une fois, vraiment", "quelle journée !", "à demain tout le monde")),
    (5, ("was für ein Tag heute", "ich weiß nicht, was ich sagen soll", "noch jemand wach?")),
    (5, ("сегодня был длинный день", "кто ещё не спит?", "не знаю, что и сказать")),
    (4, ("يا له من يوم طويل", "من لا يزال مستيقظا؟", "لا أعرف ماذا أقول")),
    (4, ("आज का दिन बहुत लंबा था", "और कौन जाग रहा है?", "क्या कहूँ समझ नहीं आता")),
    (3, ("오늘 하루도 정말 길었다", "아직 안 자는 사람 있나요?", "내일 또 이야기할게요")),
    (3, ("今天真是漫长的一天", "还有谁没睡吗?", "我不知道该说什么")),
    (3, ("วันนี้ยาวนานมาก", "ไม่รู้จะพูดอะไรดี", "พรุ่งนี้เจอกันใหม่")),
)
MADE_UP = ("zulmo grebri", "polsen nelda", "tavrik umdelo", "brimal kestor", "oshnel vorda", "dunrik salvo")
DECORATIONS = ("", "", "", "", "", "", "😂", "🔥", "🙏🏽", "👩‍💻", "🇫🇷", "…", "!!", "🎉🎉")
SYLLABLES = ("ka", "mi", "ra", "lu", "sen", "pol", "gre", "bri", "ton", "ves", "shi", "nel", "da", "cor", "zul", "mo")


def phrases_without(is_doubtful: Callable[[str], bool]) -> Sequence[Sequence[str]]:
    """For each of some hundred posts the phrases of its language, but for those that might be taken for an option."""
    kept = [(share, tuple(each for each in phrases if not is_doubtful(each))) for share, phrases in LANGUAGES]
    made_up = tuple(each for each in MADE_UP if not is_doubtful(each)) or ("…",)
    return [phrases for share, phrases in kept if phrases for _ in range(share)] or [made_up]
