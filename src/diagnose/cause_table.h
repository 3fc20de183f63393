/* The causes that are tried, simplest first, one row each. Included with LS_CAUSE_ROW defined as what is to be made
 * of a row:
 *
 *   LS_CAUSE_ROW(id, function, free parameters, sentence)
 *
 * The function is `bool FUNCTION(const ls_evidence *, ls_cause *)`: it fits a transform, applies it, and sets the
 * residual and the parameters that the sentence has in braces (compare/cause.h); false when the rule doesn't apply. A
 * cause has to explain more elements than it has free parameters, unless it is proven without the pair's values. This file has no include guard. */
LS_CAUSE_ROW("kernel", ls_fit_kernel, LS_FREE_PROVEN, "{what}: its own recorded operands give other values (rel. L2 {error:2})")
LS_CAUSE_ROW("pixels", ls_fit_pixels, LS_FREE_JUDGED, "{what}")
LS_CAUSE_ROW("experiment", ls_fit_experiment, 0, "computed with {instead}, the operation gives the reference's values")
LS_CAUSE_ROW("weight", ls_fit_weight, LS_FREE_PROVEN, "{weight}: {what}")
LS_CAUSE_ROW("scale", ls_fit_scale, 1, "the candidate is the reference times {factor} (times 1/{inverse})")
LS_CAUSE_ROW("offset", ls_fit_offset, 1, "the candidate is the reference plus {offset}")
LS_CAUSE_ROW("swapped-with", ls_fit_swapped, 0, "the candidate is another tensor of the reference: {tensor}")
LS_CAUSE_ROW("rope-interleave", ls_fit_rope_pairs, 0, "the rows of each head are {order}")
LS_CAUSE_ROW("rope-frequency", ls_fit_rope_frequency, 1, "rotated with base {base:10}; the reference's values are those of base {reference_base:10}")
LS_CAUSE_ROW("norm-eps", ls_fit_norm_eps, 1, "eps is {eps:3} here, and about {reference_eps:2} in the reference")
LS_CAUSE_ROW("activation", ls_fit_activation, 0, "the candidate is {function} of what the reference applies another function to: {input}")
LS_CAUSE_ROW("missing-term", ls_fit_missing_term, 0, "the candidate {lacks_or_adds}: {term}")
LS_CAUSE_ROW("term-scale", ls_fit_term_scale, 1, "the candidate has one term of the sum {factor} times: {term}")
LS_CAUSE_ROW("term-order", ls_fit_term_order, 0, "the candidate has the {parts} parts of one term of the sum in another order, first {from} where {part} should be: {term}")
LS_CAUSE_ROW("unary", ls_fit_unary, 0, "the {side} is {function} of the {other}")
LS_CAUSE_ROW("soft-cap", ls_fit_soft_cap, 1, "the {side} lacks the soft cap that the {other} has: {cap:6} * tanh(x / {cap:6})")
LS_CAUSE_ROW("rows", ls_fit_rows, 0, "")
LS_CAUSE_ROW("channel-scale", ls_fit_channel_scale, LS_FREE_PER_CHANNEL,
             "each channel has a factor of its own ({differ} of {channels} differ from 1): it was multiplied with another weight")
LS_CAUSE_ROW("channel-offset", ls_fit_channel_offset, LS_FREE_PER_CHANNEL,
             "each channel is off by a constant (at most {largest:4}): a bias is missing, or another")
