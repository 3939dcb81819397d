/* SPDX-License-Identifier: GPL-2.0-or-later */
/* base/banned.h - functions that are not used here.  Promise: forced into every file; a use does not compile. */
#ifndef OM_BASE_BANNED_H
#define OM_BASE_BANNED_H
#ifndef __ASSEMBLER__
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gmtime localtime atoi atol gets
#endif
#endif
