/* The causes that are tried, simplest first, one row each. Included with LS_CAUSE_ROW defined as what is to be made
 * of a row:
 *
 *   LS_CAUSE_ROW(id, function, free parameters)
 *
 * The function is `bool FUNCTION(const ls_evidence *, ls_cause *)`: it fits a transform, applies it, and fills in text
 * and residual; false when the rule doesn't apply. A cause has to explain more elements than it has free parameters.
 * This file has no include guard. */
LS_CAUSE_ROW("scale", ls_fit_scale, 1)
LS_CAUSE_ROW("offset", ls_fit_offset, 1)
LS_CAUSE_ROW("swapped-with", ls_fit_swapped, 0)
LS_CAUSE_ROW("rope-interleave", ls_fit_rope_pairs, 0)
LS_CAUSE_ROW("rope-frequency", ls_fit_rope_frequency, 1)
LS_CAUSE_ROW("norm-eps", ls_fit_norm_eps, 1)
LS_CAUSE_ROW("activation", ls_fit_activation, 0)
LS_CAUSE_ROW("missing-term", ls_fit_missing_term, 0)
LS_CAUSE_ROW("unary", ls_fit_unary, 0)
LS_CAUSE_ROW("soft-cap", ls_fit_soft_cap, 1)
LS_CAUSE_ROW("channel-scale", ls_fit_channel_scale, LS_FREE_PER_CHANNEL)
LS_CAUSE_ROW("channel-offset", ls_fit_channel_offset, LS_FREE_PER_CHANNEL)
