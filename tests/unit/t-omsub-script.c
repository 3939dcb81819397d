/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "omsub/options.h"
#include "omsub/script.h"

static struct {
	struct opt_job job;
	struct script_kind kind;
	struct om_err err;
	int r, warnings;
	char warned[4000];	/* "LINE: text\n" of each */
	char *spec;
} t;

static void note_warning(void *arg, int line, const char *text)
{
	size_t n = strlen(t.warned);

	(void)arg;
	assert_null(strchr(text, '\n'));
	snprintf(t.warned + n, sizeof(t.warned) - n, "%d: %s\n", line, text);
	t.warnings++;
}

static void done(void)
{
	opt_job_done(&t.job);
	free(t.spec);
	memset(&t, 0, sizeof(t));
}

static const char *parse_n(const char *text, size_t n)
{
	done();
	assert_int_equal(opt_job_init(&t.job), 0);
	t.r = script_parse(text, n, &t.job, &t.kind, note_warning, NULL, &t.err);
	t.spec = json_dumps(t.job.spec, JSON_COMPACT | JSON_SORT_KEYS);
	assert_non_null(t.spec);
	return t.spec;
}

static const char *parse(const char *text)
{
	return parse_n(text, strlen(text));
}

static const char *env(const char *name)
{
	return json_string_value(json_object_get(t.job.env, name));
}

static void test_om(void **state)
{
	(void)state;
	assert_string_equal(parse("#!/bin/sh\n#OM --name=x -c 2\n# text\n\n#OM --hold # comment\necho\n#OM --cpus 9\n"),
			    "{\"cpus\":2,\"hold\":true,\"name\":\"x\"}");
	assert_int_equal(t.warnings, 0);
	assert_string_equal(parse("#OM -J \"a b\" -E 'A=x y' -E B=\\\"q\\\"\n"), "{\"name\":\"a b\"}");
	assert_string_equal(env("A"), "x y");
	assert_string_equal(env("B"), "\"q\"");
	parse("#OM --nonsense=3 --hold\n#OM word\n#OM --name\n#OM --wait\n#OMX\n#OM\n");
	assert_int_equal(t.r, 0);
	assert_int_equal(t.warnings, 4);
	assert_non_null(strstr(t.warned, "1: #OM: '--nonsense=3': unknown option\n"));
	assert_non_null(strstr(t.warned, "2: #OM: 'word': not an option\n"));
	assert_non_null(strstr(t.warned, "3: #OM: '--name': needs a value\n"));
	assert_non_null(strstr(t.warned, "4: #OM: '--wait': belongs on the command line\n"));
	assert_string_equal(t.spec, "{\"hold\":true}");
	parse("\n#OM --cpus many\n");
	assert_int_equal(t.r, -EINVAL);
	assert_string_equal(t.err.text, "line 2: #OM: --cpus: 'many' is no number from 1 to 65536");
	parse("#OM --name 'open\n");
	assert_string_equal(t.warned, "1: not understood: a quotation mark is open at its end\n");
	done();
}

static void test_precedence(void **state)
{
	(void)state;
	assert_string_equal(parse("#OM --name=om\n#SBATCH --job-name=slurm\n#SBATCH -c 3\n#PBS -N pbs\n"), "{\"cpus\":3,\"name\":\"om\"}");
	assert_true(t.kind.slurm && t.kind.pbs);
	done();
}

static void test_slurm(void **state)
{
	(void)state;
	assert_string_equal(parse("#!/bin/bash\n"
				  "#SBATCH --job-name=x --output=slurm-%A_%a.out\n"
				  "#SBATCH -e err-%x-%N.%j -i in.%a\n"
				  "#SBATCH --array=0-15%4\n"
				  "#SBATCH --dependency=afterok:1:2,afternotok:3\n"
				  "#SBATCH -t 30 --mem 4000\n"
				  "#SBATCH -n 1 -N1 --cpus-per-task=4 -D /tmp\n"
				  "#SBATCH --hold --no-requeue --open-mode=append\n"
				  "#SBATCH --export=ALL,A=b,C\n"
				  "srun x\n"),
			    "{\"array\":{\"cap\":4,\"indices\":\"0-15\"},\"chdir\":\"/tmp\",\"cpus\":4,"
			    "\"depends\":[{\"job\":\"1\",\"type\":\"afterok\"},{\"job\":\"2\",\"type\":\"afterok\"},{\"job\":\"3\",\"type\":\"afternotok\"}],"
			    "\"hold\":true,\"memory\":4194304000,\"name\":\"x\",\"open_mode\":\"append\",\"restart\":\"never\","
			    "\"stderr\":\"err-%n-%x.%j\",\"stdin\":\"in.%a\",\"stdout\":\"slurm-%A_%a.out\",\"time_limit\":1800}");
	assert_string_equal(t.warned, "");
	assert_string_equal(env("A"), "b");
	assert_true(json_is_null(json_object_get(t.job.env, "C")));
	assert_int_equal(t.job.inherit, 1);
	parse("#SBATCH --export=NONE\n");
	assert_int_equal(t.job.inherit, 0);
	assert_string_equal(parse("#SBATCH --mem-per-cpu=1G -n 3 -c 2\n"), "{\"cpus\":6,\"memory\":6442450944}");
	assert_int_equal(t.warnings, 1);
	assert_string_equal(parse("#SBATCH -t 1-0 -o a\\%j\n"), "{\"stdout\":\"a%%j\",\"time_limit\":86400}");
	assert_string_equal(parse("#SBATCH -o %4j%%-%t-%q\n"), "{\"stdout\":\"%j%%-0-%%q\"}");
	assert_int_equal(t.warnings, 2);
	done();
}

static void test_slurm_warnings(void **state)
{
	(void)state;
	parse("#SBATCH --mail-type=END --mail-user=a@b -p long -A me --qos=x\n"
	      "#SBATCH --gres=gpu:1\n"
	      "#SBATCH --nodes=2\n"
	      "#SBATCH --dependency=singleton\n"
	      "#SBATCH --dependency=afterok:1?afterok:2\n"
	      "#SBATCH --unheard-of\n"
	      "#SBATCH --time=soon\n"
	      "##SBATCH --hold\n"
	      "# SBATCH --hold\n"
	      "#SBATCHX --hold\n");
	assert_int_equal(t.r, 0);
	assert_int_equal(t.warnings, 11);
	assert_non_null(strstr(t.warned, "1: --mail-type ignored: no mail is sent; --notify URL posts state changes\n"));
	assert_non_null(strstr(t.warned, "1: --partition ignored: there is one queue\n"));
	assert_non_null(strstr(t.warned, "3: --nodes ignored: a job runs on one node\n"));
	assert_non_null(strstr(t.warned, "5: --dependency ignored: '?' (any of several) is not supported\n"));
	assert_non_null(strstr(t.warned, "6: not understood: '--unheard-of'\n"));
	assert_non_null(strstr(t.warned, "7: --time ignored: 'soon' is no time limit\n"));
	assert_string_equal(t.spec, "{}");
	done();
}

static void test_pbs(void **state)
{
	(void)state;
	assert_string_equal(parse("#!/bin/sh\n"
				  "#PBS -N x -o host:/tmp/o.$PBS_JOBID -j oe\n"
				  "#PBS -l walltime=1:00:00,mem=4gb,nodes=1:ppn=4\n"
				  "#PBS -J 0-9:2\n"
				  "#PBS -W depend=afterok:17.server:18,afterany:19\n"
				  "#PBS -h -p 1023 -r n -V -v A=b,C=d\n"
				  "#PBS -d /tmp -q long\n"),
			    "{\"array\":{\"indices\":\"0-9:2\"},\"chdir\":\"/tmp\",\"cpus\":4,"
			    "\"depends\":[{\"job\":\"17\",\"type\":\"afterok\"},{\"job\":\"18\",\"type\":\"afterok\"},{\"job\":\"19\",\"type\":\"afterany\"}],"
			    "\"hold\":true,\"memory\":4294967296,\"name\":\"x\",\"priority\":1000,\"restart\":\"never\","
			    "\"stdout\":\"/tmp/o.%j\",\"time_limit\":3600}");
	assert_string_equal(t.warned, "7: -q ignored: there is one queue\n");
	assert_string_equal(env("C"), "d");
	assert_string_equal(parse("#PBS -l select=1:ncpus=2:mem=1gb -l ncpus=3\n#PBS -t 1-5%2\n"),
			    "{\"array\":{\"cap\":2,\"indices\":\"1-5\"},\"cpus\":3,\"memory\":1073741824}");
	assert_string_equal(parse("#PBS -o a%b^array_index^\n"), "{\"stdout\":\"a%%b%a\"}");
	assert_string_equal(parse("#PBS -e both -j eo\n"), "{\"stdout\":\"both\"}");
	parse("#PBS -l nodes=2:ppn=4,cput=5 -W umask=022 -m abe -Z\n#PBS -l mem=lots\n");
	assert_int_equal(t.warnings, 6);
	assert_non_null(strstr(t.warned, "1: -l nodes=2 ignored: a job runs on one node\n"));
	assert_non_null(strstr(t.warned, "1: -l cput=5 ignored: has no meaning here\n"));
	assert_string_equal(t.spec, "{\"cpus\":4}");
	done();
}

static void test_hostile(void **state)
{
	static const char zero[] = "#OM --na\0me=x\n#OM --hold\n";
	size_t n = SCRIPT_LINE_MAX + 100;
	char *big = malloc(n + 2);

	(void)state;
	assert_non_null(big);
	assert_string_equal(parse_n(zero, sizeof(zero) - 1), "{\"hold\":true}");
	assert_int_equal(t.warnings, 1);
	memset(big, 'x', n);
	memcpy(big, "#OM --name=", 11);
	big[n] = '\n';
	parse_n(big, n + 1);
	assert_string_equal(t.warned, "1: not understood: longer than 16384 bytes\n");
	for (size_t i = 3; i < n; i++)
		big[i] = i % 2 ? ' ' : 'x';
	parse_n(big, 10000);
	assert_string_equal(t.warned, "1: not understood: more than 256 words\n");
	parse_n("", 0);
	assert_string_equal(t.spec, "{}");
	/* found by fuzzing: went round for ever */
	parse("#PBS -- name=x -z0nr2#!/afterokme -h\n#OM -- x -Hq -H y\n");
	assert_non_null(strstr(t.warned, "1: not understood: 'name=x'\n"));
	assert_string_equal(t.spec, "{\"hold\":true}");
	parse("#SBATCH --job-name=\"a\x1b[2Jb\"\n#SBATCH -J \xff\n");
	assert_int_equal(t.warnings, 2);
	free(big);
	done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_om), cmocka_unit_test(test_precedence), cmocka_unit_test(test_slurm),
		cmocka_unit_test(test_slurm_warnings), cmocka_unit_test(test_pbs), cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
