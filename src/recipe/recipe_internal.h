/* Inside recipe/ only. */
#pragma once

#include "recipe/recipe.h"

extern const char recipe_copy[]; /* shell of COPY, without its variables */
