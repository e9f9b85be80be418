"""Raw T1 heads made into modulated grey matter in MNI space, for those who have no outputs of SPM12 or CAT12."""
