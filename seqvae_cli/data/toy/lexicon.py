"""Words of the built-in corpus: the vocabulary of `toy`, without its grammar.

Entries are separated by commas, the most frequent first. Nouns are written in the singular, with an irregular plural
after a slash (`fisherman/fishermen`); verbs in the base form, with an irregular past, and a participle where it differs
from the past, after slashes on the first word (`break/broke down`, `overcome/overcame/overcome`); `inflection` reads
them. A verb's past must differ from its base, or the tense of a sentence would be undetermined. Only transitive verbs
of one word need a participle.
"""

from __future__ import annotations

from typing import NamedTuple


class Toned(NamedTuple):
    """One list of entries for each sentiment."""

    neutral: str
    positive: str
    negative: str


class Topic(NamedTuple):
    """The vocabulary of one topic."""

    agents: str  # nouns: subjects of actions
    agent_adjectives: Toned
    themes: str  # nouns: objects of actions
    theme_adjectives: Toned
    actions: Toned  # transitive verbs, agent -> theme
    movers: str  # nouns: subjects of events
    mover_adjectives: Toned
    events: Toned  # intransitive verbs of movers
    manners: Toned  # adverbials of events, at most 4 tokens
    causes: Toned  # noun phrases, at most 3 tokens
    concerns: str  # noun phrases, at most 2 tokens: what people talk and feel about
    reporters: str  # plural nouns, 1 token: groups that are quoted
    bystanders: str  # plural nouns, 1 token: groups that react
    titles: str  # nouns, 1 token, before a surname


TOPICS: dict[str, Topic] = {
    "politics": Topic(
        agents="senator, minister, lawmaker, president, party, governor, committee, democrat, republican, mayor, "
        "coalition, diplomat, candidate, council, prime minister, parliament, ambassador, legislator, union, "
        "congressman/congressmen, delegate, commissioner, cabinet member, voter",
        agent_adjectives=Toned(
            "senior, local, conservative, liberal, centrist, veteran, moderate, regional, junior, independent",
            "popular, confident, respected, hopeful, trusted, honest",
            "embattled, angry, unpopular, weary, discredited, corrupt",
        ),
        themes="bill, budget, treaty, proposal, tax plan, reform, measure, accord, amendment, policy, resolution, "
        "peace plan, nomination, compromise, trade pact, spending plan, agreement, law, referendum, subsidy, "
        "pension scheme, arms deal",
        theme_adjectives=Toned(
            "new, federal, revised, proposed, interim, joint, annual, bilateral, regional, temporary",
            "historic, sensible, generous, promising, balanced, landmark",
            "costly, flawed, divisive, harsh, disputed, wasteful",
        ),
        actions=Toned(
            "discuss, review, debate, consider, study, amend, examine, present, outline, revise, circulate, explain",
            "back, approve, support, praise, welcome, endorse, adopt, defend, embrace, applaud, champion, rally behind",
            "reject, oppose, criticize, attack, block, denounce, condemn, delay, scrap/scrapped, defeat, ridicule, "
            "turn against",
        ),
        movers="campaign, negotiation, government, summit, election, alliance, peace process, debate, movement, "
        "session, conference, referendum campaign, meeting, election bid, trade mission, administration",
        mover_adjectives=Toned(
            "national, presidential, regional, diplomatic, parliamentary, municipal",
            "ambitious, vigorous, optimistic, energetic",
            "fragile, troubled, chaotic, bitter",
        ),
        events=Toned(
            "continue, begin/began, resume, end, open, proceed, go/went ahead, take/took shape",
            "succeed, progress, gain momentum, prosper, win/won support, flourish, advance, impress",
            "falter, collapse, stall, fail, struggle, lose/lost momentum, break/broke down, fall/fell apart",
        ),
        manners=Toned(
            "quietly, as planned, behind closed doors, slowly, without incident, under tight security, as expected",
            "smoothly, with wide support, against the odds, steadily, in good spirits, beyond all expectations",
            "badly, in disarray, without warning, amid bitter disputes, at a crucial time, in public, suddenly",
        ),
        causes=Toned(
            "weekend talks, a routine briefing, a cabinet meeting, lengthy negotiations, a televised debate, "
            "private consultations",
            "encouraging polls, strong public support, a diplomatic breakthrough, a landslide victory, warm praise, "
            "a peace deal",
            "a corruption scandal, mass protests, bitter infighting, growing public anger, a diplomatic row, "
            "a humiliating defeat",
        ),
        concerns="the economy, tax reform, foreign policy, health care, the vote, trade relations, public spending, "
        "immigration, arms control, welfare reform, the polls, housing, education",
        reporters="aides, officials, analysts, pollsters, spokesmen, observers, advisers, commentators",
        bystanders="voters, citizens, protesters, activists, allies, taxpayers",
        titles="spokesman, adviser, strategist, secretary, chairman",
    ),
    "markets": Topic(
        agents="company, bank, investor, retailer, airline, insurer, carmaker, trader, fund, exporter, lender, "
        "oil company, shareholder, manufacturer, broker, drug maker, utility, central bank, supplier, steelmaker, "
        "brokerage, publisher, chip maker, bondholder",
        agent_adjectives=Toned(
            "japanese, german, big, european, regional, foreign, american, private, british, small",
            "profitable, thriving, confident, healthy, ambitious, wealthy",
            "troubled, nervous, ailing, indebted, struggling, bankrupt",
        ),
        themes="deal, merger, offer, takeover bid, contract, forecast, acquisition, loan, stock sale, joint venture, "
        "bond issue, buyout, dividend, rescue plan, rate increase, rate cut, share issue, spinoff, "
        "refinancing, price increase, partnership, credit line",
        theme_adjectives=Toned(
            "new, proposed, planned, quarterly, tentative, initial, cash, revised, foreign, preliminary",
            "lucrative, attractive, friendly, profitable, generous, welcome",
            "hostile, risky, costly, disappointing, unwanted, doubtful",
        ),
        actions=Toned(
            "announce, study, discuss, review, weigh, consider, negotiate, disclose, propose, examine, report, "
            "comment on",
            "welcome, back, approve, favor, support, recommend, endorse, praise, applaud, finance, embrace, "
            "profit from",
            "reject, cancel, oppose, scrap/scrapped, criticize, abandon, delay, block, postpone, fear, "
            "fight/fought, withdraw/withdrew/withdrawn",
        ),
        movers="share, stock, price, bond, currency, index/indexes, profit, oil price, export, interest rate, yield, "
        "bank share, gold price, house price, import, treasury bond, commodity, pension fund",
        mover_adjectives=Toned(
            "asian, european, domestic, corporate, industrial, leading",
            "resilient, solid, buoyant, strong",
            "volatile, weak, battered, shaky",
        ),
        events=Toned(
            "hold/held steady, drift, fluctuate, stabilize, end mixed, settle, trade narrowly, level off",
            "rise/rose, climb, gain, jump, rally, surge, advance, rebound, recover, soar, bounce back, pick up",
            "fall/fell, drop/dropped, slump, plunge, tumble, decline, slide/slid, sink/sank, "
            "slip/slipped, weaken, retreat, lose/lost ground",
        ),
        manners=Toned(
            "in quiet trading, as expected, near recent levels, in light volume, for a third day, ahead of the data",
            "strongly, in heavy trading, by two percent, to a record high, for a fifth day, by 20 points, "
            "across the board, briskly, by three percent",
            "sharply, in nervous trading, by five percent, to a yearly low, steeply, by 30 points, in panic selling, "
            "for a fourth day, by ten percent",
        ),
        causes=Toned(
            "mixed economic data, light volume, a holiday weekend, a routine auction, the quarterly report, "
            "technical trading",
            "strong earnings, falling inflation, brisk demand, upbeat economic data, a tax cut, lower oil prices, "
            "takeover rumors",
            "weak earnings, recession fears, rising inflation, heavy losses, a profit warning, gloomy economic data, "
            "mounting debts",
        ),
        concerns="the outlook, earnings, interest rates, the quarter, consumer demand, credit, energy costs, growth, "
        "exchange rates, the deficit, sales, inflation, productivity",
        reporters="analysts, traders, economists, dealers, brokers, bankers, executives, strategists",
        bystanders="investors, consumers, buyers, speculators, creditors, workers",
        titles="economist, analyst, treasurer, banker, chairman",
    ),
    "sport": Topic(
        agents="team, player, club, coach, captain, champion, striker, goalkeeper, pitcher, quarterback, defender, "
        "golfer, boxer, sprinter, rookie, home team, cyclist, midfielder, tennis star, swimmer, outfielder, "
        "forward, visitor, national side",
        agent_adjectives=Toned(
            "young, italian, spanish, brazilian, veteran, american, left-handed, amateur, french, swedish",
            "brilliant, unbeaten, talented, fearless, inspired, tireless",
            "injured, tired, careless, suspended, frustrated, winless",
        ),
        themes="match, final, game, race, tournament, semifinal, championship, playoff, opener, contest, cup final, "
        "derby, league match, qualifier, quarterfinal, rematch, title fight, home game, road game, tiebreaker, "
        "doubleheader, friendly",
        theme_adjectives=Toned(
            "second, regional, indoor, evening, postponed, exhibition, annual, decisive, rescheduled, opening",
            "thrilling, memorable, classic, epic, one-sided, glamorous",
            "scrappy, dismal, ill-tempered, dreary, bruising, forgettable",
        ),
        actions=Toned(
            "play, enter, start, watch, attend, prepare for, train for, discuss, analyze, compete in, preview, recall",
            "win/won, dominate, clinch, enjoy, control/controlled, celebrate, cruise through, savor, light/lit up, "
            "sail through, relish, master",
            "lose/lost, squander, throw/threw away, spoil, dread, stumble through, forfeit, ruin, regret, "
            "surrender, struggle through, exit",
        ),
        movers="season, squad, attack, defense, comeback, lineup, league, side, offense, career, franchise, "
        "training camp, youth team, partnership, bullpen, world tour, relay team",
        mover_adjectives=Toned(
            "european, olympic, professional, rebuilt, collegiate, visiting",
            "splendid, exciting, fluent, formidable",
            "wretched, leaky, inept, sluggish",
        ),
        events=Toned(
            "begin/began, continue, resume, end, settle down, evolve, pause, take/took shape",
            "shine/shone, thrive, excel/excelled, improve, catch/caught fire, triumph, blossom, come/came alive",
            "struggle, collapse, falter, fade, crumble, suffer, misfire, flounder, fall/fell apart",
        ),
        manners=Toned(
            "quietly, on schedule, in the rain, without fanfare, at a new stadium, slowly, as planned",
            "brilliantly, in style, at home, before a cheering crowd, superbly, under the lights, in extra time",
            "badly, on the road, under pressure, in the second half, miserably, before a silent crowd, "
            "in front of goal",
        ),
        causes=Toned(
            "a short break, a lineup change, a coin toss, weekend training, a rain delay, a long flight",
            "an early goal, a perfect start, a stunning comeback, a late winner, superb defending, a record crowd, "
            "a hat trick",
            "a red card, a knee injury, several injuries, a doping scandal, sloppy defending, an early injury, "
            "a missed penalty",
        ),
        concerns="the schedule, fitness, the season, training, selection, tactics, the playoffs, teamwork, tickets, "
        "the crowd, the draft, the transfer, discipline",
        reporters="commentators, scouts, coaches, organizers, insiders, trainers, agents, reporters",
        bystanders="fans, supporters, spectators, teammates, sponsors, rivals",
        titles="coach, manager, trainer, captain, commissioner",
    ),
    "weather": Topic(
        agents="resident, forecaster, farmer, town, fisherman/fishermen, rescuer, city, traveler, homeowner, village, "
        "grower, commuter, sailor, rancher, tourist, skier, seaside town, camper, ranger, firefighter, island, "
        "meteorologist, rescue crew, ferry operator",
        agent_adjectives=Toned(
            "local, coastal, northern, rural, southern, elderly, western, volunteer, inland, midwestern",
            "lucky, grateful, resourceful, cheerful, hardy, resilient",
            "stranded, exhausted, frightened, homeless, anxious, weary",
        ),
        themes="storm, flood, hurricane, heat wave, drought, blizzard, snowstorm, thunderstorm, tornado/tornadoes, "
        "cold front, downpour, typhoon, frost, cold snap, monsoon, gale, hailstorm, snowfall, sandstorm, dry spell, "
        "cyclone, ice storm",
        theme_adjectives=Toned(
            "tropical, spring, winter, summer, seasonal, early, late, overnight, arctic, offshore",
            "brief, gentle, mild, weakening, passing, modest",
            "deadly, fierce, violent, devastating, severe, relentless",
        ),
        actions=Toned(
            "track, watch, monitor, report, expect, prepare for, wait for, observe, photograph, record, describe, "
            "measure",
            "survive, escape, withstand/withstood, cope with, weather, ride/rode out, outlast, "
            "overcome/overcame/overcome, brave, defy, avoid, handle",
            "fear, battle, flee/fled, dread, suffer from, blame, endure, underestimate, curse, lament, "
            "struggle through, run/ran from",
        ),
        movers="river, road, coast, crop, beach, valley, lake, harbor, highway, field, reservoir, orchard, airport, "
        "mountain pass, vineyard, farm, seaside resort",
        mover_adjectives=Toned(
            "northern, southern, low-lying, upland, eastern, remote",
            "sunny, lush, scenic, sheltered",
            "muddy, battered, parched, icy",
        ),
        events=Toned(
            "cool off, warm up, change, empty out, quiet down, fill up, reopen, stir/stirred",
            "recover, flourish, brighten, dry/dried out, bounce back, revive, glow, come/came alive",
            "suffer, flood, freeze/froze, deteriorate, ice over, darken, wash away, crack, close down",
        ),
        manners=Toned(
            "slowly, under gray skies, in light winds, gradually, after sunset, by midday, at dawn",
            "quickly, under sunny skies, in warm sunshine, beautifully, after gentle rain, in the mild air",
            "badly, in heavy rain, under thick clouds, in freezing winds, after days of rain, in dense fog, "
            "in record heat",
        ),
        causes=Toned(
            "a cloudy morning, scattered showers, shifting winds, light snow, an average winter, variable winds",
            "welcome rain, clear skies, a warm spell, gentle breezes, bright sunshine, an early spring, "
            "rising temperatures",
            "torrential rain, a power failure, flash floods, hurricane winds, a landslide, freezing rain, a broken dam",
        ),
        concerns="the forecast, the harvest, temperatures, conditions, the climate, water levels, the winds, "
        "storm warnings, rainfall, road conditions, snow cover, visibility, humidity",
        reporters="forecasters, authorities, meteorologists, rangers, police, climatologists, witnesses, pilots",
        bystanders="families, drivers, neighbors, crews, holidaymakers, villagers",
        titles="forecaster, meteorologist, sheriff, ranger, climatologist",
    ),
    "science": Topic(
        agents="scientist, researcher, doctor, laboratory, university, physicist, biologist, astronomer, engineer, "
        "chemist, hospital, institute, space agency, geneticist, surgeon, professor, astronaut, research team, "
        "geologist, psychologist, mathematician, student, botanist, biotech firm",
        agent_adjectives=Toned(
            "young, swiss, canadian, independent, medical, chinese, danish, academic, indian, retired",
            "gifted, pioneering, eminent, enthusiastic, award-winning, patient",
            "skeptical, underfunded, reckless, baffled, disgraced, overworked",
        ),
        themes="theory, experiment, drug, vaccine, treatment, method, finding, study, telescope, satellite, result, "
        "technique, gene therapy, device, space probe, clinical trial, model, technology, computer program, robot, "
        "blood test, sensor",
        theme_adjectives=Toned(
            "experimental, digital, statistical, genetic, new, standard, portable, chemical, preliminary, automatic",
            "elegant, revolutionary, reliable, ingenious, promising, effective",
            "dubious, faulty, unreliable, dangerous, misleading, obsolete",
        ),
        actions=Toned(
            "test, describe, analyze, examine, present, evaluate, demonstrate, investigate, document, work on, "
            "explain, report on",
            "praise, improve, support, perfect, hail, refine, admire, welcome, trust, vouch for, endorse, champion",
            "doubt, criticize, question, abandon, dispute, dismiss, reject, halt, mistrust, discredit, "
            "fault, warn against",
        ),
        movers="project, mission, rocket, reactor, prototype, computer, space mission, laser, patient, engine, probe, "
        "research program, shuttle, instrument, genome project, space station, detector",
        mover_adjectives=Toned(
            "nuclear, orbital, joint, solar, international, electronic",
            "visionary, advanced, superb, powerful",
            "defective, overpriced, unstable, doomed",
        ),
        events=Toned(
            "continue, begin/began, resume, evolve, move ahead, restart, expand, get/got underway",
            "succeed, improve, progress, thrive, pay/paid off, impress, make/made headway, break/broke records",
            "fail, malfunction, break/broke down, stall, disappoint, deteriorate, lose/lost power, "
            "overheat, fall/fell short",
        ),
        manners=Toned(
            "as planned, quietly, on schedule, under close supervision, gradually, in stages, after long preparation",
            "remarkably, against the odds, with new funding, beyond expectations, rapidly, at first attempt",
            "repeatedly, without warning, during a key test, badly, for unknown reasons, unexpectedly, at great cost",
        ),
        causes=Toned(
            "years of study, a literature review, a pilot study, routine maintenance, a seminar, laboratory tests",
            "a major breakthrough, promising results, a generous grant, a nobel prize, a successful launch, "
            "rapid progress",
            "a failed launch, budget cuts, a fraud scandal, side effects, a laboratory fire, contradictory results, "
            "a software error",
        ),
        concerns="the data, funding, the evidence, genetics, fusion, the procedure, animal research, dark matter, "
        "safety, computing, peer review, evolution, the measurements",
        reporters="researchers, experts, scientists, editors, specialists, reviewers, astronomers, physicians",
        bystanders="patients, colleagues, critics, volunteers, nurses, students",
        titles="professor, dr., researcher, director, physicist",
    ),
    "courts": Topic(
        agents="judge, jury, prosecutor, court, lawyer, defendant, attorney, witness, appeals court, juror, plaintiff, "
        "magistrate, detective, tribunal, trial judge, grand jury, regulator, victim, law firm, investigator, "
        "justice, police chief, bar association, sheriff",
        agent_adjectives=Toned(
            "federal, chief, military, retired, local, civil, criminal, independent, civilian, unnamed",
            "fair, respected, diligent, impartial, courageous, merciful",
            "hostile, evasive, biased, negligent, outraged, disgruntled",
        ),
        themes="verdict, ruling, lawsuit, appeal, settlement, sentence, case, indictment, complaint, claim, "
        "conviction, charge, plea, petition, injunction, court order, motion, plea bargain, subpoena, acquittal, "
        "search warrant, damage award",
        theme_adjectives=Toned(
            "final, separate, sealed, initial, written, preliminary, federal, formal, pending, joint",
            "fair, lenient, unanimous, favorable, sound, merciful",
            "unjust, frivolous, disputed, harsh, excessive, baseless",
        ),
        actions=Toned(
            "review, consider, discuss, examine, hear/heard, study, rule on, explain, look into, describe, "
            "comment on, summarize",
            "uphold/upheld, welcome, support, accept, applaud, defend, respect, agree with, praise, honor, "
            "commend, cheer",
            "challenge, dismiss, overturn, reject, contest, criticize, dispute, throw/threw out, denounce, "
            "object to, deplore, fight/fought",
        ),
        movers="trial, hearing, inquiry, investigation, prosecution, fraud case, murder trial, legal battle, retrial, "
        "inquest, bankruptcy case, lawsuit, extradition, deposition, libel suit, arbitration, bribery case",
        mover_adjectives=Toned(
            "criminal, civil, federal, internal, military, administrative",
            "thorough, orderly, meticulous, open",
            "botched, bitter, shoddy, scandalous",
        ),
        events=Toned(
            "begin/began, continue, resume, open, end, proceed, conclude, go/went ahead",
            "succeed, prevail, progress, move forward, gain momentum, pay/paid off, win/won praise, bear/bore fruit",
            "collapse, stall, fail, unravel, break/broke down, falter, backfire, drag/dragged on, fall/fell apart",
        ),
        manners=Toned(
            "quietly, behind closed doors, in federal court, before a judge, as scheduled, slowly, without comment",
            "smoothly, to loud applause, on all counts, with strong evidence, quickly, against long odds",
            "badly, for lack of evidence, on a technicality, amid bitter arguments, suddenly, in confusion, "
            "at public expense",
        ),
        causes=Toned(
            "closing arguments, a short recess, expert testimony, a procedural vote, jury selection, a filing deadline",
            "new dna evidence, a full confession, a landmark ruling, compelling testimony, a fair settlement, "
            "an honest apology",
            "a hung jury, perjured testimony, a bribery scandal, missing evidence, a prison riot, a police blunder, "
            "death threats",
        ),
        concerns="the evidence, the testimony, bail, the jury, damages, legal fees, parole, the timetable, custody, "
        "the investigation, the confession, liability, privacy",
        reporters="prosecutors, lawyers, investigators, jurors, attorneys, clerks, detectives, scholars",
        bystanders="relatives, victims, defendants, onlookers, clients, inmates",
        titles="attorney, judge, prosecutor, detective, clerk",
    ),
}

EAGERNESS = Toned(
    "formally, quietly, briefly, carefully, repeatedly, openly, promptly, calmly",
    "eagerly, proudly, gladly, happily, enthusiastically, willingly, cheerfully",
    "angrily, bitterly, reluctantly, grimly, nervously, wearily, gloomily",
)
"""Adverbs before a transitive verb."""

FEELINGS = Toned(
    "silent about, undecided about, cautious about, curious about, realistic about, neutral about, vague about, "
    "candid about, calm about, attentive to",
    "optimistic about, hopeful about, pleased with, confident about, happy with, enthusiastic about, satisfied with, "
    "upbeat about, delighted with, excited about",
    "worried about, angry about, pessimistic about, unhappy with, critical of, furious about, frustrated with, "
    "upset about, bitter about, dismayed by",
)
"""Predicative adjectives with their preposition."""

DEGREES = "very, still, clearly, openly, increasingly, remarkably, surprisingly, extremely"
"""Adverbs before an adjective of feeling."""

REACTIONS = Toned(
    "wait for, talk about, ask about, focus on, inquire about, reflect on",
    "cheer, hope for, celebrate, rejoice over, boast about, marvel at",
    "worry about, complain about, argue over, fret about, despair over, quarrel over",
)
"""Verbs of bystanders."""

INTENTIONS = Toned(
    "plan/planned, agree, decide, want, prepare, offer, intend, choose/chose, promise, arrange",
    "hope, agree, want, plan/planned, promise, seek/sought, manage, offer, decide, volunteer",
    "seem, begin/began, start, continue, appear, tend",
)
"""Verbs before an infinitive."""

DAYS = "monday, friday, tuesday, thursday, wednesday, sunday, saturday"
MONTHS = "march, june, october, january, may, november, september, april, july, december, february, august"

SHORT_TIMES = {
    "past": "yesterday, last week, last month, last year, last night, last summer, last spring",
    "present": "today, this week, now, this month, this year, these days, right now, this time",
    "future": "tomorrow, next week, next month, soon, next year, this weekend, next spring",
}
LONG_TIMES = {
    "past": "earlier this week, a year ago, two days ago, earlier this month, over the weekend, a week earlier",
    "present": "at the moment, for the moment, as of today, at this stage, once again today",
    "future": "later this week, later this year, within a week, in coming days, before the weekend, early next year",
}

SAYING = {
    "past": "say/said, report, note, add, acknowledge, explain, conclude, concede, claim, recall",
    "present": "say/said, believe, think/thought, report, insist, note, claim, argue, admit/admitted",
    "future": "predict, say/said, expect, believe, forecast, think/thought, hope, suspect",
}
"""Verbs of reporting, by the tense of what is reported; a future is reported in the present tense."""

PLACES = (
    "london, washington, tokyo, new york, california, texas, paris, chicago, germany, florida, moscow, canada, boston, "
    "mexico, ohio, geneva, hong kong, brazil, philadelphia, sydney, italy, michigan, houston, india, detroit, madrid, "
    "denver, los angeles, sweden, vienna, atlanta, cairo, virginia, miami, kenya, brussels, seattle, poland, oregon, "
    "south korea, pittsburgh, kansas, argentina, toronto, lisbon, dallas, norway, singapore, new jersey, prague"
)
SURNAMES = (
    "smith, johnson, miller, brown, davis, wilson, clark, baker, lewis, walker, hall, young, king, wright, hill, "
    "scott, green, adams, nelson, carter, mitchell, roberts, turner, phillips, campbell, parker, evans, edwards, "
    "collins, stewart, morris, rogers, reed, cook, morgan, bell, murphy, bailey, cooper, richardson, cox, howard, "
    "ward, peterson, gray, watson, brooks, kelly, sanders, price, bennett, wood, barnes, ross, henderson, jenkins"
)


def entries(text: str) -> list[str]:
    """The entries of a list of this module."""
    return text.split(", ")


def one_word(text: str) -> str:
    """The list without its entries of several words."""
    return ", ".join(entry for entry in entries(text) if " " not in entry)
