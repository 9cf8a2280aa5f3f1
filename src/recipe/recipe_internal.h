/* Inside recipe/ only. */
#pragma once

#include "recipe/recipe.h"

extern const char recipe_copy[]; /* shell of COPY, without its variables */

/* A name of a variable, as shells have it: letters, digits and _, no digit in front. */
bool recipe_is_name(struct str s);
bool recipe_is_name_byte(char c, bool is_first);
