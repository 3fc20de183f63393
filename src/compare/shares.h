/* Thresholds: the metrics give the share of elements above each. */
#ifndef LS_COMPARE_SHARES_H
#define LS_COMPARE_SHARES_H

enum { LS_SHARES = 6 };
/* |d| above these are counted: 1e-6, 1e-5, … 1e-1. */
extern const double ls_share_thresholds[LS_SHARES];

#endif
