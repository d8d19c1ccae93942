/* Sluice, an application gateway. Everything is in the library; see core/cli.h.
 * SPDX-License-Identifier: MIT */
#include "core/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
