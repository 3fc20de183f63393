/* The methods that pair tensors, in the order of trust, one row each: a pair that one finds is left alone by those
 * after it. Included with LS_METHOD_ROW defined as what is to be made of a row:
 *
 *   LS_METHOD_ROW(id, name in reports, function)
 *
 * The function is `lockstep_status FUNCTION(ls_matching *, size_t from, lockstep_error *)`: it adds what it can pair
 * among the candidate's nodes[from …), with ls_matching_add. This file has no include guard. */
LS_METHOD_ROW(MAP, "map", ls_match_by_map)                   /* rules of the user's */
LS_METHOD_ROW(NAME, "name", ls_match_by_name)                /* equal names */
LS_METHOD_ROW(PRESET, "preset", ls_match_by_preset)          /* rules of the model */
LS_METHOD_ROW(INPUT, "input", ls_match_given)                /* the only input of its size */
LS_METHOD_ROW(PICTURE, "picture", ls_match_by_picture)       /* the pixels that both models are given */
LS_METHOD_ROW(ELIMINATION, "elimination", ls_match_the_only_two) /* neither side has another tensor */
