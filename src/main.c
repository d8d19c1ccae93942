/* Sluice, an application gateway. Everything is in the library; see cli/cli.h.
 * SPDX-License-Identifier: MIT */
#include "admin/admin.h"
#include "cli/cli.h"

int main(int argc, char **argv)
{
    const struct cli_parts parts = {.commands = admin_commands, .service = &admin_service};
    return cli_main(argc, argv, &parts);
}
