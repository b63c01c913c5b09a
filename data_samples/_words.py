"""The words on the sample pages: machines, their parts, and sentences that never repeat at length.

A template holds choices, `[check|verify]`, and slots, `{part}`. No two pages may share enough
three-word runs to count as near duplicates, so every page draws other templates and other choices.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a page is about: its name, its parts and how its drawing looks."""

    name: str
    parts: tuple[str, ...]
    shape: str = "rotor"
    """`rotor`, `frame` or `valve`: the kind of line drawing."""


def _machine(name: str, parts: str, shape: str = "rotor") -> Machine:
    return Machine(name=name, parts=tuple(parts.split(", ")), shape=shape)


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


ENGLISH = {
    "pump": _machine(
        "Centrifugal pump",
        "impeller, wear ring, pump casing, shaft sleeve, mechanical seal, bearing bracket, "
        "coupling guard, suction flange, drain plug, lantern ring",
    ),
    "reducer": _machine(
        "Helical gear reducer",
        "helical pinion, bull gear, thrust bearing, sight glass, breather cap, input shaft, "
        "output flange, shim pack, oil baffle, torque arm",
    ),
    "valve": _machine(
        "Gate valve",
        "wedge, bonnet, stem, gland packing, seat ring, yoke nut, hand wheel, body gasket, "
        "back seat, gland follower",
        "valve",
    ),
    "compressor": _machine(
        "Screw compressor",
        "male rotor, female rotor, oil separator, pressure valve, intake filter, "
        "discharge housing, shaft seal, cooler core, slide piston, unloader spring",
    ),
    "conveyor": _machine(
        "Belt conveyor",
        "drive drum, idler roller, belt scraper, take up pulley, rubber skirt, return roller, "
        "tension carriage, chute liner, pull cord switch, gravity weight",
        "frame",
    ),
    "crane": _machine(
        "Overhead crane",
        "rope drum, hook block, brake disc, end carriage, travel wheel, rubber buffer, "
        "cable trolley, limit switch, rail sweep, load cell",
        "frame",
    ),
    "exchanger": _machine(
        "Plate heat exchanger",
        "channel plate, nozzle liner, clamping bolt, frame plate, carrying bar, plate gasket, "
        "guide bar, support column, inlet strainer, lock washer",
        "frame",
    ),
    "press": _machine(
        "Hydraulic press",
        "main ram, guide bush, return cylinder, pressure plate, tie rod, pilot valve, "
        "piston seal, oil tank, heating platen, light curtain",
        "frame",
    ),
    "fan": _machine(
        "Axial fan",
        "blade, hub, inlet cone, motor stool, guide vane, casing ring, vibration mount, "
        "access door, tip seal, balance weight",
    ),
    "screen": _machine(
        "Vibrating screen",
        "screen deck, side plate, exciter shaft, rubber spring, wedge rail, spray pipe, "
        "feed box, cross beam, clamp bar, discharge lip",
        "frame",
    ),
    "turbine": _machine(
        "Steam turbine",
        "rotor disc, labyrinth ring, nozzle block, steam chest, trip valve, governor sleeve, "
        "journal bearing, exhaust hood, gland housing, turning gear",
    ),
    "elevator": _machine(
        "Bucket elevator",
        "steel bucket, head sprocket, boot shaft, chain link, backstop, inspection hatch, "
        "wear shoe, inlet spout, dust cover, tension screw",
        "frame",
    ),
    "mill": _machine(
        "Ball mill",
        "shell liner, trunnion bearing, girth gear, grinding ball, feed chute, grate plate, "
        "lifter bar, mill head, clutch hub, spray nozzle",
    ),
    "winch": _machine(
        "Mooring winch",
        "cable lifter, band brake, pawl wheel, warping head, clutch lever, gear case, "
        "bed plate, brake lining, spooling guide, foot pedal",
    ),
    "agitator": _machine(
        "Tank agitator",
        "hydrofoil blade, drive shaft, steady bearing, stuffing box, lantern spacer, "
        "motor adapter, shaft coupling, baffle bracket, slinger disc, key",
        "valve",
    ),
    "filter": _machine(
        "Filter press",
        "filter cloth, membrane plate, drip tray, feed core, plate shifter, closing cylinder, "
        "side rail, wash manifold, cake chute, corner bushing",
        "frame",
    ),
    "regulator": _machine(
        "Pressure regulator",
        "diaphragm, main spring, sensing tube, valve cage, adjusting screw, lower cover, "
        "relief seat, disc holder, travel stop, vent plug",
        "valve",
    ),
    "blower": _machine(
        "Roots blower",
        "lobe rotor, timing gear, oil slinger, drive sheave, side cover, inlet silencer, "
        "belt guard, relief valve, base frame, check valve",
    ),
    "kiln": _machine(
        "Rotary kiln",
        "riding ring, support roller, thrust wheel, kiln seal, burner pipe, cooling fan, "
        "refractory brick, girth rim, pier plate, drive pinion",
    ),
    "safety_valve": _machine(
        "Safety valve",
        "disc insert, blow down ring, spring washer, spindle, lifting lever, cap, "
        "inlet nozzle, guide plate, sealing wire, name plate",
        "valve",
    ),
}

FRENCH = {
    "pompe": _machine(
        "Pompe centrifuge",
        "la roue, la bague d'usure, le corps de pompe, la chemise d'arbre, la garniture, "
        "le palier, la bride d'aspiration, le bouchon de vidange, le joint plat, le ressort",
    ),
    "vanne": _machine(
        "Vanne papillon",
        "le papillon, la tige, la manchette, le levier, le joint de tige, la bague de centrage, "
        "le corps de vanne, la vis de blocage, la rondelle, la bride",
        "valve",
    ),
    "treuil": _machine(
        "Treuil de levage",
        "le tambour, le frein, le crochet, la poulie, le carter, la bague de guidage, "
        "le pignon, le ressort de rappel, le cliquet, la couronne",
    ),
    "presse": _machine(
        "Presse hydraulique",
        "le piston, le plateau mobile, la colonne, le distributeur, la pompe, le filtre, "
        "le joint torique, le capteur de pression, la soupape, le coussinet",
        "frame",
    ),
    "convoyeur": _machine(
        "Convoyeur mobile",
        "la bande, le tambour moteur, le rouleau, le racleur, le contrepoids, le galet, "
        "le palier, la goulotte, le tendeur, le carter",
        "frame",
    ),
    "ventilateur": _machine(
        "Ventilateur axial",
        "la pale, le moyeu, le pavillon, le moteur, la virole, le support, la trappe de visite, "
        "le plot, la grille, le manchon",
    ),
    "broyeur": _machine(
        "Broyeur rotatif",
        "le rotor, le couteau, la grille, le carter, la poulie, la trappe, le palier, "
        "la courroie, le volant, la clavette",
    ),
    "soupape": _machine(
        "Soupape de décharge",
        "le clapet, le ressort, la vis de réglage, le chapeau, le guide, la buse, le joint, "
        "la membrane, le levier, le plomb",
        "valve",
    ),
}

MATERIALS = _list(
    "cast iron|carbon steel|stainless steel|tin bronze|forged steel|nitrile rubber|graphite|"
    "aluminium|brass|spring steel|duplex steel|ceramic|nylon|manganese steel"
)

FRENCH_MATERIALS = _list(
    "fonte grise|acier inoxydable|bronze|laiton|acier moulé|caoutchouc|graphite|aluminium|"
    "acier trempé|nylon"
)

TEMPLATES = {
    "design": (
        "The {part} is [machined|turned|cast|forged] from {material} and [runs|turns|works] "
        "[against|next to|inside] a [hardened|ground|polished] {part}.",
        "[Two|Three|Four] [sizes|versions|frame sizes] share one {part}, which keeps the "
        "[stock of spares|store room] [small|simple|easy to manage].",
        "A [wide|narrow|short|deep] {part} [protects|shields] the {part} from "
        "[dust|splash water|falling scale|heat|vibration].",
        "Where the [medium|product|liquid|load] is [abrasive|sticky|hot|corrosive], choose the "
        "{part} in {material} instead of {material}.",
        "[Noise|Sound pressure] stays below {n} decibels [one metre away|at the operator stand|"
        "in the open air] because the {part} is [balanced|damped|guided] on both [sides|ends].",
        "[Every|Each] {part} can be [removed|replaced|reached] from the [front|drive side|top] "
        "without [moving|lifting|draining] the [motor|base frame|piping].",
        "Allow {n} [millimetres|centimetres] of free [space|height|length] "
        "[above|behind|beside] the {part} for [dismantling|cleaning|lifting gear].",
        "[Standard paint|The coating] is a [grey|blue|green] [epoxy|alkyd] of {n} microns; "
        "[offshore|tropical|food grade] [systems|finishes] are [quoted|offered] on request.",
        "[Continuous duty|Start and stop service|Part load] is [allowed|permitted] as long as "
        "the {part} stays [cooler|warmer] than {n} degrees.",
        "The drive end [carries|holds] the {part} of {material}, the [free|far|opposite] end "
        "has a [floating|fixed|split] {part}.",
        "[Power|Torque] is [passed|transmitted] through the {part} by a [taper|parallel|spline] "
        "[key|fit], never by [friction|set screws|glue] alone.",
        "Reserve capacity of {n} percent [covers|allows for] [worn parts|dirty filters|"
        "cold starts|peak demand] before the {part} [becomes|turns into] the weak link.",
    ),
    "fitting": (
        "[Slide|Push|Lower|Guide] the {part} over the {part} until it [touches|meets|rests on] "
        "the [shoulder|circlip|stop collar].",
        "[Heat|Warm] the {part} to {n} degrees in [oil|an oven] and [fit|mount] it "
        "[quickly|in one movement|with gloves].",
        "[Tighten|Torque] the [nuts|screws|studs] of the {part} [crosswise|in a star pattern|"
        "from the centre outward] in [two|three|four] [rounds|passes|steps].",
        "[Never|Do not] [hammer|strike|force] the {part}: {material} [chips|cracks|bends] "
        "[easily|without warning|and cannot be repaired].",
        "The [arrow|punch mark|white dot] on the {part} must [point|face] toward the "
        "[motor|outlet|inlet|operator|gear box].",
        "[Coat|Smear|Brush] the [thread|bore|seat] with [clean oil|grease|sealing compound] "
        "before the {part} [goes back|is turned in|is pressed home].",
        "[Measure|Note|Record] the [gap|play|clearance] between {part} and {part}; {n} "
        "hundredths is the [limit|maximum|largest value allowed].",
        "[Hang|Support] the {part} from a [sling|chain hoist|lifting eye] of at least {n} "
        "kilograms while the {part} is [loose|open|undone].",
        "Item {n} is [drawn|shown] [turned by a quarter|out of position|cut open] so that the "
        "{part} [behind|below] it can be [seen|identified].",
        "[Left hand|Mirrored|Metric|Inch] [units|builds] use the same {part} but a "
        "[longer|shorter|thicker] {part}.",
        "[Dowel pins|Two pins] [locate|align] the {part}; remove them [last|first] and keep "
        "them [in a labelled bag|with the shims|as a pair].",
        "After assembly the {part} must [turn|swing|move] freely by [hand|one finger|its own "
        "weight] through a [full|half] [circle|stroke].",
        "General tolerance is {n} [microns|hundredths] unless the [view|section|detail] of "
        "the {part} [says|states] otherwise.",
    ),
    "care": (
        "[Isolate|Switch off|Lock out] the [supply|drive|panel] and wait {n} minutes before "
        "[opening|touching|removing] the {part}.",
        "[Wipe|Rinse|Brush] the {part} with [a dry cloth|warm water|a soft brush]; "
        "[solvents|steam|wire wool] would [harm|swell|scratch] the {material}.",
        "[Listen|Feel|Look] for [rubbing|knocking|leaks|hot spots] near the {part} "
        "[while|as long as] the machine [idles|slows down|carries load].",
        "[Top up|Drain|Change] the [oil|grease|coolant] [every|after] {n} hours, or "
        "[sooner|twice as often] in [dusty|wet|hot] [rooms|areas|weather].",
        "A [dark|milky|gritty] [film|deposit|smear] on the {part} [means|suggests] that "
        "[water|metal dust|air] has [passed|entered behind] the {part}.",
        "Replace the {part} when [less than|only] {n} millimetres of {material} [remain|are "
        "left] at the [edge|rim|thinnest point].",
        "[Keep|Store] the used {part} for [inspection|comparison|the workshop]; its "
        "[colour|wear pattern|surface] tells how the {part} was loaded.",
        "[Run|Test] the machine [empty|without load|at half speed] for {n} minutes, then "
        "[retighten|look again at|feel] the {part}.",
        "[Write|Enter] the reading in the [log book|history card|shift report] even when it "
        "[looks normal|did not change|seems too low].",
        "If the {part} [squeals|sticks|trembles], [stop|call the fitter] and check the {part} "
        "for [dirt|play|a broken spring] first.",
        "[Grease gun|Oil can] [strokes|shots]: {n} for the {part}, [half|twice] as many for "
        "the {part} on the [windy|sunny|far] side.",
        "[Guards|Covers|Hatches] stay [closed|bolted] until the {part} has come to "
        "[rest|a complete stop]; a [warm|coasting] {part} can still [crush|burn] fingers.",
    ),
    "proof": (
        "The {part} was [held|kept] at a test pressure of {n} bar for [ten|twenty|thirty] "
        "minutes; [no leak|no drop|no sweat] was [seen|found|recorded].",
        "[Samples|Test bars|Coupons] of {material} were [cut|taken] from the same "
        "[melt|heat|bar] as the {part} and [broken|pulled|bent] at {n} degrees.",
        "[Hardness|Roughness|Wall thickness] of the {part} was [read|measured] at {n} points "
        "and lies [inside|well within] the [ordered range|limits agreed].",
        "We [confirm|declare|state] that the {part} and the {part} [agree|comply] with the "
        "[purchase order|drawing|order text] and were [checked|inspected] before packing.",
        "[Gauges|Instruments] used on the {part} were [calibrated|compared] against "
        "[reference blocks|a master gauge] [this quarter|last month|before use].",
        "[Magnetic|Dye|Ultrasonic] inspection of the {part} showed [no crack|no pores|only "
        "harmless marks] [on the surface|in the weld|at the fillet].",
        "This [paper|certificate|record] [covers|applies to] {n} pieces and [ends|loses its "
        "value] when the {part} is [welded|re-machined|altered].",
        "[Each|Every] tested {part} [bears|carries] a [stamp|punched number|lead seal] next to "
        "the [flange|name plate|lifting eye].",
        "[Deviations|Two small remarks] [were|have been] [accepted|closed] by the customer: the "
        "{part} is {n} hundredths [shorter|wider] than [drawn|asked for].",
        "The [opening|closing|breaking] force of the {part} [repeated|came back] within {n} "
        "percent over [five|eight|twelve] [cycles|strokes].",
        "[Balancing|Spin test]: the {part} ran at [full|over] speed for {n} seconds with a "
        "[smooth|steady] trace; residual [vibration|swing] is [low|below the alarm].",
        "[Chemical|Spectral] analysis [names|shows] {material} with the [expected|usual] "
        "[carbon|nickel|chromium] content for the {part} of this [size|class].",
    ),
    "stock": (
        "[Order|Buy] the {part} together with the {part}: they wear [as a pair|at one rate|"
        "into each other].",
        "[Keep|Hold] {n} pieces of the {part} on [site|the shelf] when the [plant|line] "
        "[runs day and night|is far from a supplier|cannot stop].",
        "Items [marked|printed] with a star are [wear parts|sold in kits|made to order] and "
        "[travel|ship] in {n} [days|weeks].",
        "The [older|first] {part} of {material} is [no longer made|out of stock]; the {part} "
        "shown here [replaces it|fits the same bore|needs one more washer].",
        "[Quote|Give] the [serial number|build year|frame size] and the position of the {part} "
        "with [each|any] [enquiry|request].",
        "[Rubber|Bonded|Painted] parts such as the {part} [age|harden] on the shelf: use them "
        "within {n} [months|quarters].",
        "Quantities are for one [machine|shaft line|side]; [double|halve] the {part} for the "
        "[twin|tandem|short] version.",
        "[Wrap|Pack] a spare {part} in [oiled paper|film|a wooden box] and lay it [flat|on "
        "edge], [away from|clear of] [sunlight|frost|ozone].",
        "The repair kit [holds|contains] one {part}, [two|three|six] [seals|rings|clips] and a "
        "[sheet|tube] of [sealant|shims].",
        "[Weights|Prices] [exclude|leave out] the {part}, which [comes|arrives] "
        "[from the motor maker|with the base frame|in a second crate].",
    ),
    "register": (
        "Sheet {n} [replaces|cancels] the [earlier|hand drawn|scanned] sheet of the {part} "
        "because the [thread|bolt circle|face width] [changed|grew].",
        "[Sections|Views] of the {part} are [drawn|plotted] at [full|half|double] size; "
        "[all others|overviews] at one to {n}.",
        "The [foundation|cable|piping] plan [follows|is issued] once the {part} has been "
        "[approved|measured on site|ordered].",
        "[Prints|Copies] on [paper|film] are [valid|good] for {n} days; [ask|look in] the "
        "drawing office [for the latest letter|before cutting metal].",
        "[Revision|Change] letters [skip|leave out] those that [look like|read as] digits, so "
        "the {part} [moves|goes] straight to the next one.",
        "A [cloud|triangle] on the sheet [marks|frames] each change to the {part} since the "
        "[last issue|tender|first build].",
        "[Drawings|Sheets] of bought parts, the {part} [for example|among them], belong to the "
        "[maker|vendor] and [stay|remain] in folder {n}.",
        "[Weld|Surface|Thread] symbols on the {part} [follow|use] the [legend|table] on the "
        "[cover|last] sheet.",
        "Where [model|file] and print [differ|disagree] on the {part}, the [print|signed copy] "
        "[rules|counts] until the [clash|error] is [cleared|reported].",
        "[Missing|Blank] numbers were [set aside|kept free] for the {part} of a [longer|later|"
        "heavier] [variant|build].",
    ),
}

FRENCH_TEMPLATES = (
    "[Nettoyer|Essuyer|Brosser] le support avec un chiffon [propre|sec|doux] avant de "
    "[poser|monter|fixer] {part}.",
    "[Serrer|Bloquer] les vis en croix, en [deux|trois|quatre] passes, puis "
    "[noter|marquer] la valeur de {n} newtons sur la fiche.",
    "Le [jeu|retrait] entre {part} et {part} ne doit jamais [passer|atteindre] {n} "
    "[microns|dixièmes].",
    "[Couper|Isoler] le courant et attendre {n} minutes avant [toute visite|le montage|"
    "chaque contrôle].",
    "Une [fuite|trace|usure] visible sur {part} demande un [arrêt|contrôle] [rapide|immédiat] "
    "de la machine.",
    "[Commander|Garder] toujours {part} avec {part} dans le même [lot|carton|magasin].",
    "Les pièces en {material} [restent|sont] dans leur [film|papier] jusqu'au jour du montage.",
    "[Tourner|Faire tourner] l'arbre [lentement|par la main] : il doit rester [libre|souple] "
    "sur {n} tours.",
    "[Vidanger|Changer] l'huile toutes les {n} heures, plus souvent si le local est [humide|"
    "chaud|sale].",
    "La plaque porte le type, le poids et la pression maximale : {n} bars pour ce modèle.",
    "[Poser|Mettre] une [cale|goupille] sous {part} pour que le moteur reste dans son axe.",
    "[Remplacer|Changer] {part} quand il reste moins de {n} millimètres de {material}.",
    "Un bruit [sec|sourd|continu] accuse souvent {part}, plus rarement {part} "
    "ou un défaut de graissage.",
    "[Ne jamais|Il ne faut pas] frapper sur {part} : le {material} casse sans prévenir.",
    "Le sens de la flèche indique la [sortie|rotation] ; [vérifier|contrôler] avant la mise en "
    "route.",
    "Stock [conseil|minimum] : {n} pièces pour une ligne qui tourne [jour et nuit|toute "
    "l'année|sans pause].",
    "Le capot est en {material} et se [retire|monte] avec une seule [main|vis|agrafe].",
    "[Conserver|Garder] la pièce usagée pour comparer la couleur et la forme de {part}.",
    "Le client [reçoit|garde] une copie ; le double part avec {part} dans la caisse numéro {n}.",
    "Prévoir {n} centimètres de place libre [derrière|devant] {part} pour le [levage|service].",
)

SPECS = _list(
    "Nominal flow, litres per second|Design pressure, bar|Top speed, turns per minute|"
    "Shaft power, kW|Net weight, kg|Oil volume, litres|Service temperature, degrees|"
    "Sound level, decibels|Bore diameter, mm|Outlet size, mm|Static load, kN|"
    "Stroke length, mm|Face width, mm|Hub diameter, mm|Lifting height, cm|Air demand, litres"
)
FRENCH_SPECS = _list(
    "Débit nominal, litres|Pression maximale, bars|Vitesse, tours|Puissance, kW|Poids total, kg|"
    "Volume de graisse, litres|Alésage, mm|Course, mm|Hauteur totale, cm|Charge utile, kg"
)
VIEWS = _list(
    "General arrangement|Section through|Detail of|Machining of|Pattern for|Weldment|Exploded "
    "view of|Lifting plan for|Outline of|Wiring at|Jig for|Packing of|Templates for|Casting of"
)
CHECKS = _list(
    "Inspect|Clean|Grease|Measure|Replace|Listen to|Tighten|Align|Photograph|Drain|Adjust|Test"
)
FRENCH_CHECKS = _list("Vérifier|Nettoyer|Graisser|Mesurer|Remplacer|Serrer|Régler|Tester")
RHYTHMS = _list("daily|weekly|monthly|quarterly|yearly|at each stop|before start|when noisy")
FRENCH_RHYTHMS = _list("par jour|par semaine|par mois|par an|au montage|si besoin")
OUTCOMES = _list("passed|within limits|accepted|no remark|good|as ordered")


class Writer:
    """Writes one page's words; every template and part is used up before one comes again."""

    def __init__(self, seed: str, machine: Machine, *, french: bool) -> None:
        """Start a page whose words follow from its seed."""
        self.rng = random.Random(seed)
        self.machine = machine
        self.french = french
        self._decks: dict[str, list[str]] = {}

    def sentences(self, topic: str, count: int) -> list[str]:
        """Return that many sentences about a topic; French pages have one pool for all."""
        pool = FRENCH_TEMPLATES if self.french else TEMPLATES[topic]
        return [self._expand(self.draw(f"{topic} sentences", pool)) for _ in range(count)]

    def paragraph(self, topic: str, count: int) -> str:
        """Return that many sentences as running text."""
        return " ".join(self.sentences(topic, count))

    def part(self) -> str:
        """Return the next part of the machine, in French with its article."""
        return self.draw("parts", self.machine.parts)

    def item(self) -> str:
        """Return the next part as a table names it: a capital letter, no article."""
        name = self.draw("items", self.machine.parts)
        name = name.removeprefix("le ").removeprefix("la ") if self.french else name
        return name.capitalize()

    def material(self) -> str:
        """Return the next material."""
        return self.draw("materials", FRENCH_MATERIALS if self.french else MATERIALS)

    def number(self) -> str:
        """Return a number that looks measured rather than round."""
        return str(self.rng.randrange(12, 96))

    def code(self) -> str:
        """Return a part or drawing number."""
        letters = "".join(self.rng.choices("ACEHKMPRTX", k=2))
        return f"{letters} {self.rng.randrange(1000, 9999)}-{self.rng.randrange(10, 99)}"

    def draw(self, deck: str, pool: Sequence[str]) -> str:
        """Return the next card of a shuffled deck, shuffling again when it is used up."""
        cards = self._decks.setdefault(deck, [])
        if not cards:
            cards.extend(self.rng.sample(pool, len(pool)))
        return cards.pop()

    def _expand(self, template: str) -> str:
        """Make the choices and fill the slots of a template."""
        text = _CHOICE.sub(lambda found: self.rng.choice(found[1].split("|")), template)
        slots = {"part": self.part, "material": self.material, "n": self.number}
        text = re.sub(r"\{(\w+)\}", lambda found: slots[found[1]](), text)
        return text[0].upper() + text[1:]
