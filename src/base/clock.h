/* Clocks. `mono` never goes back and is for timers; `wall` is for what a person or the API sees. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_RFC3339_SIZE 40

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
int64_t clock_wall_us(void);

/* Prints wall microseconds as RFC 3339 UTC with six fractional digits and 'Z'. */
void clock_format(int64_t wall_us, char out[CLOCK_RFC3339_SIZE]);

/* Parses RFC 3339 (fraction of 0..9 digits, 'Z' or +hh:mm) to microseconds, digits past the
 * microsecond dropped. Returns false when the text is anything else. */
bool clock_parse(const char *text, size_t len, int64_t *wall_us);
