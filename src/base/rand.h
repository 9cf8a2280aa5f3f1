/* Randomness from the kernel (getrandom(2)). */
#pragma once

#include <stddef.h>

/* Fills `p` with `n` random bytes; cannot fail (aborts when the kernel has no randomness). */
void rand_bytes(void *p, size_t n);

/* A random UUID (RFC 9562, version 4) as text. */
#define RAND_UUID_SIZE 37
void rand_uuid(char out[RAND_UUID_SIZE]);
/* The one that 16 random bytes make. */
void rand_uuid_of(const unsigned char bytes[16], char out[RAND_UUID_SIZE]);

/* Writes `n` random characters of [a-z0-9] and a NUL: out has n + 1 bytes. */
void rand_id(char *out, size_t n);
