"""English and Swedish abbreviations, by what may follow their last period."""

import enum
import re


class Kind(enum.Enum):
    """What a period behind a word says."""

    NONE = enum.auto()
    """No abbreviation."""
    JOINED = enum.auto()
    """Something always follows in the same sentence: `Dr.`, `e.g.`, `t.ex.`"""
    NUMBERED = enum.auto()
    """An abbreviation before a number, else a word: `No. 5`, `No.`"""
    EITHER = enum.auto()
    """May end a sentence; it does before a capital letter: `etc.`, `osv.`"""
    CLOCK = enum.auto()
    """`a.m.`, `p.m.`: as EITHER, but names of days and time zones belong to it."""
    NAMED = enum.auto()
    """Names follow it too, so it ends a sentence only before a word that opens one: `U.S.`, `Inc.`, `Nov.`"""


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _words(text: str, kind: Kind) -> dict[str, Kind]:
    return dict.fromkeys(text.split(), kind)


_KINDS: dict[str, Kind] = {
    **_words(
        "Dr Mr Mrs Ms Mx Prof St Mt Ft Rev Hon Gen Col Capt Lt Sgt Cmdr Adm Maj Sen Rep Gov Pres Supt Messrs Mme"
        " Mlle dr prof e.g E.g i.e I.e cf vs v.s viz approx Approx ca Ca incl excl misc resp Resp a.k.a w.r.t t.ex"
        " T.ex bl.a Bl.a dvs Dvs d.v.s D.v.s s.k p.g.a P.g.a pga fr.o.m Fr.o.m from.o.m t.o.m T.o.m f.d jfr Jfr"
        " inkl exkl ung Ung kl Kl tel Tel fr.a s.a.s",
        Kind.JOINED,
    ),
    **_words(
        "No no Nos Nr nr Fig fig Figs Eq eq p pp P s sid Vol vol Ch ch Sec sec Art art Pt pt Ed Ver ver ext",
        Kind.NUMBERED,
    ),
    **_words(
        "etc Etc et.al al osv o.s.v m.m m.fl e.d o.d kr st min max tim jr sr oz lb ft hr hrs yrs avg jan feb apr"
        " jun jul aug sep sept okt nov dec mån tis ons tors fre lör sön",
        Kind.EITHER,
    ),
    **_words("a.m p.m am.m A.M P.M", Kind.CLOCK),
    **_words(
        "Inc Ltd Corp Co Bros LLC Jr Sr Esq Ave Blvd Rd Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue"
        " Tues Wed Thu Thur Thurs Fri Ph.D B.A M.A B.Sc M.Sc M.D B.C A.D D.C No.s AB",
        Kind.NAMED,
    ),
}
_DOTTED_CAPITALS = re.compile(r"(?:[A-Z]\.)+[A-Z]")
_DOTTED_SMALL = re.compile(r"(?:[a-zåäö]{1,2}\.)+[a-zåäö]{1,2}")

OPENING = _set(
    "The This That These Those It Its He She They We You I There Here In On At If When While But And So Then"
    " Now Our His Her Their My Your What Why How Who Where Which Do Does Did Is Are Was Were Can Could Will"
    " Would Please Let Yes No Not After Before For From To However Also Some Many Most Each Every One Two Det"
    " Den De Han Hon Vi Du Jag Ni Som Men Och Att Där Här Då Nu I'm I've I'll It's That's We're We'll You're"
    " They're He's She's Let's Don't Today Tomorrow Yesterday Later Next First Finally Since Until Because Although"
    " Once As By With Without During Any All Both Another Such Here's There's What's Just Maybe Perhaps Thanks Thank"
    " Sorry Sure Hello Welcome Have Has Had Should Idag Igår Imorgon Sedan När Om Efter Före Under För Till Från Med"
    " Utan Kan Ska Vill Har Är Var Vad Hur Varför Vem Vilken Ja Nej Tack Min Din Hans Hennes Vår Många Alla"
)
"""Capitalised words that open a sentence, hardly a name."""

AFTER_CLOCK = _set(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Tuesdays Wednesdays Thursdays Fridays"
    " Saturdays Sundays EST EDT CST CDT MST MDT PST PDT ET CT PT GMT UTC BST CET CEST KST JST IST Eastern"
    " Central Pacific Mountain"
)


def kind(word: str) -> Kind:
    """What the period behind `word` (given without that period, but with inner ones) says."""
    found = _KINDS.get(word)
    if found is not None:
        return found
    if _DOTTED_CAPITALS.fullmatch(word):
        return Kind.NAMED
    return Kind.EITHER if _DOTTED_SMALL.fullmatch(word) else Kind.NONE
