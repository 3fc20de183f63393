/* Einstein sums: "bhqd,bhkd->bhqk" names the axes of the operands and of the result; what the result lacks is summed over. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "eval/aten.h"

enum { LETTERS = 52, SUMS = 32 /* letters that are summed over */ };

typedef struct sum_of_products {
    uint64_t sizes[LETTERS], strides[LS_EVAL_OPERANDS][LETTERS]; /* sizes: 0 for a letter that is not there */
    int result[LOCKSTEP_MAX_RANK], summed[SUMS], result_rank, summed_count;
    size_t operands;
    uint64_t terms;
} sum_of_products;

static int number_of(char letter) { return islower((unsigned char)letter) ? letter - 'a' : isupper((unsigned char)letter) ? letter - 'A' + LETTERS / 2 : -1; }

/* The letters of one operand, up to a comma, the arrow or the end. Returns what follows; NULL where they don't fit. */
static const char *take_operand(sum_of_products *s, const ls_array *x, const char *at) {
    uint64_t stride = x->elements;
    int axis = 0;
    for (; *at != '\0' && *at != ',' && *at != '-'; at++) {
        const int letter = number_of(*at);
        if (*at == ' ')
            continue;
        if (letter < 0 || axis == x->rank || x->shape[axis] == 0 || (s->sizes[letter] > 1 && x->shape[axis] != 1 && s->sizes[letter] != x->shape[axis]))
            return NULL;
        stride /= x->shape[axis];
        s->sizes[letter] = s->sizes[letter] > 1 ? s->sizes[letter] : x->shape[axis];
        s->strides[s->operands][letter] += x->shape[axis] == 1 ? 0 : stride; /* twice: the diagonal */
        axis++;
    }
    s->operands++;
    return axis == x->rank ? at : NULL;
}

/* Without an arrow, the result has the letters that appear once, in alphabetical order. */
static bool take_result(sum_of_products *s, const char *equation, const char *arrow) {
    bool is_in_result[LETTERS] = {false};
    for (const char *at = arrow; arrow != NULL && *at != '\0'; at++) {
        const int letter = number_of(*at);
        if (*at == ' ')
            continue;
        if (letter < 0 || s->sizes[letter] == 0 || is_in_result[letter] || s->result_rank == LOCKSTEP_MAX_RANK)
            return false;
        s->result[s->result_rank++] = letter;
        is_in_result[letter] = true;
    }
    for (int k = 0; arrow == NULL && k < LETTERS; k++) {
        const char letter = (char)(k < LETTERS / 2 ? 'A' + k : 'a' + k - LETTERS / 2), *first = strchr(equation, letter);
        if (first == NULL || strchr(first + 1, letter) != NULL)
            continue;
        if (s->result_rank == LOCKSTEP_MAX_RANK)
            return false;
        s->result[s->result_rank++] = number_of(letter);
        is_in_result[number_of(letter)] = true;
    }
    s->terms = 1;
    for (int k = 0; k < LETTERS; k++) {
        if (s->sizes[k] == 0 || is_in_result[k])
            continue;
        if (s->summed_count == SUMS || __builtin_mul_overflow(s->terms, s->sizes[k], &s->terms))
            return false;
        s->summed[s->summed_count++] = k;
    }
    return true;
}

static bool parse(const ls_evaluation *e, const char *equation, sum_of_products *out) {
    const char *at = equation, *arrow = strstr(equation, "->");
    for (size_t k = 0; k < e->node->operand_count && at != NULL; k++) {
        at = e->operands[k] != NULL ? take_operand(out, e->operands[k], at) : NULL;
        at += at != NULL && *at == ',';
    }
    if (at == NULL || (arrow != NULL ? at != arrow : *at != '\0') || !take_result(out, equation, arrow != NULL ? arrow + 2 : NULL) || out->result_rank != e->node->rank)
        return false;
    for (int i = 0; i < out->result_rank; i++)
        if (out->sizes[out->result[i]] != e->node->shape[i])
            return false;
    return true;
}

/* Adds what steps along some letters make to where each operand's element is. */
static void step(const sum_of_products *s, const int *letters, int count, uint64_t index, uint64_t offsets[LS_EVAL_OPERANDS]) {
    for (int i = count - 1; i >= 0; i--) {
        const uint64_t at = index % s->sizes[letters[i]];
        index /= s->sizes[letters[i]];
        for (size_t k = 0; k < s->operands; k++)
            offsets[k] += at * s->strides[k][letters[i]];
    }
}

static void add_up(const ls_evaluation *e, const sum_of_products *s, uint64_t index) {
    uint64_t base[LS_EVAL_OPERANDS] = {0}, at[LS_EVAL_OPERANDS];
    double sum = 0, squares = 0;
    step(s, s->result, s->result_rank, index, base);
    for (uint64_t i = 0; i < s->terms; i++) {
        double term = 1;
        memcpy(at, base, s->operands * sizeof *at);
        step(s, s->summed, s->summed_count, i, at);
        for (size_t k = 0; k < s->operands; k++)
            term *= e->operands[k]->values[at[k]];
        sum += term;
        squares += term * term;
    }
    e->out[index] = sum;
    e->scale[index] = fmax(fabs(sum), sqrt(squares));
}

bool ls_aten_einsum(ls_evaluation *e) {
    const char *equation = ls_node_text(e->node, "equation");
    sum_of_products s = {0};
    if (equation == NULL || e->node->operand_count == 0 || !parse(e, equation, &s))
        return ls_eval_refuse(e, "an Einstein sum that is not covered");
    if (!ls_eval_affords(e, (double)e->node->elements * (double)s.terms))
        return false;
    const uint64_t columns = ls_eval_size(e, 0);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        e->out[i] = NAN;
        if (ls_eval_wants(e, i / columns, e->node->elements / columns))
            add_up(e, &s, i);
    }
    return true;
}
