"""Transcription factors that Reactome names, told from other genes by the names of their families."""

import re

from kotowari.datasets.packaged import load_reactome

__all__ = ["load_reactome_factors"]

# symbols of human genes (HGNC) by the family of the domain that binds DNA
_FAMILIES = {
    "C2H2 zinc finger": (
        r"ZNF\d+[A-L]?|ZFP(?!36)\d+B?|ZKSCAN\d+|ZSCAN\d+|ZIM\d|ZIK1|HKR1|ZBTB\d+|ZFHX\d|ZEB[12]|ZIC\d|KLF\d+|SP\d|"
        r"EGR\d|SNAI[1-3]|GLI[1-3]|IKZF\d|PRDM\d+|WT1|CTCF|YY1|BCL6|GFI1|HIC[12]|REST|SALL\d|HIVEP\d|MECOM|INSM1|"
        r"PLAGL1|MTF1|HINFP"
    ),
    "homeodomain": (
        r"HOX[A-D]\d+|PAX\d|PBX\d|MEIS\d|PKNOX\d|POU\dF\d|NKX\d-\d+|CDX\d|DLX\d|GSC|ISL\d|LHX\d|MSX[12]|OTX2|PDX1|"
        r"PITX\d|SIX\d|TGIF\d|HNF1[AB]|SATB[12]|CUX[12]|ONECUT\d|NANOG"
    ),
    "basic helix-loop-helix": (
        r"TWIST[12]|TCF(?:3|4|12)|MYOD1|MYF[56]|MYOG|NEUROD\d|NEUROG\d|ASCL\d|HAND[12]|HES\d|HEY[12L]|TAL1|LYL1|MITF|"
        r"TFE[3BC]|USF[12]|SREBF[12]|MLX|MLXIPL|MAX|MYC[NL]?|MNT|MXD\d|MXI1|AHR|ARNT2?|ARNTL2?|CLOCK|NPAS\d|HIF[13]A|"
        r"EPAS1|BHLHE\d+|PTF1A"
    ),
    "basic leucine zipper": (
        r"JUN[BD]?|FOSB?|FOSL[12]|ATF\d|ATF6B|CREB[135]|CREB3L\d|CREM|CEBP[ABDEG]|BATF|BACH[12]|NFE2|NFE2L\d|"
        r"MAF[ABFGK]?|DBP|NFIL3|DDIT3|XBP1"
    ),
    "nuclear receptor": (
        r"NR\d[A-Z]\d|RAR[ABG]|RXR[ABG]|ROR[ABC]|ESR[12]|ESRR[ABG]|PPAR[ADG]|THR[AB]|VDR|AR|PGR|HNF4[AG]"
    ),
    "forkhead": r"FOX[A-S]\d[A-Z]?\d?",
    "high mobility group": r"SOX\d+|SRY|LEF1|TCF7(?:L[12])?|UBTF|TFAM",
    "ETS": r"ETS[12]|ELK\d|ELF\d|ERG|FLI1|ETV\d|GABPA|SPI1|ERF",
    "Rel homology": r"NFKB[12]|REL[AB]?|NFAT5|NFATC[1-4]|RBPJ|EBF\d",
    "STAT": r"STAT[1-6][AB]?",
    "SMAD": r"SMAD[1-589]",  # 6 and 7 hold the others back and bind no DNA
    "interferon regulatory factor": r"IRF\d",
    "runt, p53, GATA, T-box": r"RUNX\d|TP(?:53|63|73)|GATA\d|TBX\d",
    "others": (
        r"TEAD\d|MEF2[A-D]|SRF|E2F\d|TFDP\d|RFX\d|MYB|MYBL\d|NFI[ABCX]|NFY[ABC]|NRF1|TFAP2[A-E]|TFCP2|GRHL\d|HSF\d|"
        r"ARID3A|ARID5[AB]|MECP2|MBD[1-4]"
    ),
}
_FACTOR = re.compile("|".join(_FAMILIES.values()))


def load_reactome_factors() -> tuple[str, ...]:
    """Return 675 transcription factors, by symbol: every gene of a Reactome pathway whose name tells such a family.

    Reactome marks no gene as a factor. Its generic transcription pathway (R-HSA-212436, 1,187 genes) holds factors
    beside polymerase, mediator, kinases, histones, proteasome and the genes that they regulate, and it lacks factors
    that stand in pathways of signalling alone (RELA, STAT3). So the rule is ours: all pathways are read, and a gene is
    kept when its symbol is that of a family of proteins that bind DNA and choose genes by it (C2H2 zinc fingers,
    homeodomains, helix-loop-helix, leucine zippers, nuclear receptors, forkhead, ETS, STAT, SMAD, ...).

    What the list is not: complete, since Reactome of March 2019 names less than half of the human factors; or evidence,
    since a symbol is no experiment. Cofactors (CREBBP, CTNNB1), chromatin remodellers and basal factors (TBP) are left
    out. Of the 675, 337 are zinc fingers known by little more than a number (ZNF, ZFP, ZKSCAN ...), nearly all of them
    from R-HSA-212436; in a genome-wide table they are half of the regulators. The packaged colorectal tumours measure
    23 of the 675, two of them such zinc fingers.

    Returns
    -------
    tuple of str
        In the order of the alphabet.

    Source: :func:`load_reactome` for the pathways; families of domains as in Lambert et al. 2018, Cell 172, 650-665.

    Examples
    --------
    >>> factors = load_reactome_factors()
    >>> len(factors), [gene in factors for gene in ("STAT3", "CREBBP")]
    (675, [True, False])
    """
    named = {gene for genes in load_reactome().values() for gene in genes}
    return tuple(sorted(gene for gene in named if _FACTOR.fullmatch(gene)))
