/* Functions that have a safe replacement here. Included on the command line by the build. */
#pragma once

#ifndef BELLJAR_NO_BAN
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#undef sprintf /* the fortified one of older glibc is a macro for clang */
#pragma GCC poison strcpy strcat sprintf vsprintf gets strtok asctime ctime tmpnam tempnam
#endif
