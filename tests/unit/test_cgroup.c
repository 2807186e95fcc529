/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Cgroups on made-up hosts: a folder with /proc and cgroup trees in it, which the module believes
 * because mount points come from mountinfo. Where this machine has cgroups, the module is also held
 * against what the kernel says.
 */
#include "fake_tree.h"

#include "containers/cgroup.h"

#define MOUNT_V1 "35 31 0:32 / @/cg/memory rw,relatime - cgroup cgroup rw,memory\n"
#define MOUNT_CPU "32 31 0:29 / @/cg/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_V2                                                                                   \
	"41 31 0:38 / @/cg/unified rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"
#define NO_LIMIT_V1 "9223372036854771712\n"

static struct cgroups *open_tree(void)
{
	struct cgroups *c = NULL;

	assert_int_equal(cgroups__new(tree_path("/proc"), &c), 0);
	return c;
}

static uint64_t inode_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(tree_path(name), &st), 0);
	return st.st_ino;
}

static void expect_process(const struct cgroups *c, pid_t tgid, const char *want)
{
	char path[256];

	assert_int_equal(cgroups__path_of_process(c, tgid, path, sizeof(path)), 0);
	assert_string_equal(path, want);
}

static void test_mode(void **state)
{
	static const struct {
		const char *mountinfo, *controllers, *mode;
		int err;
		bool v1;
	} cases[] = {
		{ MOUNT_CPU MOUNT_V1, "", "v1", 0, true },
		{ MOUNT_V1 MOUNT_V2, "", "hybrid (memory on v1)", 0, true },
		{ MOUNT_V2 MOUNT_V1, "cpu memory\n", "hybrid (memory on v1)", 0, true },
		{ MOUNT_V2, "cpuset cpu io memory pids\n", "v2", 0, false },
		{ MOUNT_V2, "memory", "v2", 0, false },
		{ MOUNT_V2, "cpuset memory_recursiveprot pids\n", "v2 without memory controller", 0,
		  false },
		{ MOUNT_CPU MOUNT_V2, "", "v2 without memory controller", 0, false },
		{ MOUNT_CPU, "", NULL, -ENOENT, false },
		{ "", "", NULL, -ENOENT, false },
		{ "garbage\n1 2 3\n - cgroup\n35 31 0:32 / - cgroup2\n - \n", "", NULL, -ENOENT,
		  false },
		/* An empty source field, and an option that only begins like the controller. */
		{ "35 31 0:32 / @/cg/memory rw -  cgroup rw\n" MOUNT_V2, "",
		  "v2 without memory controller", 0, false },
		{ "35 31 0:32 / @/cg/memory rw - cgroup  rw,memory\n", "", "v1", 0, true },
		{ "35 31 0:32 / @/cg/memory rw - cgroup cgroup rw,memoryx\n", "", NULL, -ENOENT,
		  false },
		{ "35 31 0:32 / @/cg/not-there rw - cgroup cgroup rw,memory\n" MOUNT_V2, "memory\n",
		  "v2", 0, false },
	};
	struct cgroups *c;
	size_t i;

	(void)state;
	tree_mkdir("/cg/memory");
	tree_mkdir("/cg/cpu");
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tree_write("/proc/self/mountinfo", cases[i].mountinfo);
		tree_write("/cg/unified/cgroup.controllers", cases[i].controllers);
		c = NULL;
		assert_int_equal(cgroups__new(tree_path("/proc"), &c), cases[i].err);
		if (cases[i].err) {
			assert_null(c);
			continue;
		}
		assert_string_equal(cgroups__mode(c), cases[i].mode);
		assert_int_equal(cgroups__is_v1(c), cases[i].v1);
		cgroups__free(c);
	}
	assert_int_equal(cgroups__new(tree_path("/no-proc"), &c), -ENOENT);
	cgroups__free(NULL);
}

static void test_path_of_process(void **state)
{
	static const struct {
		const char *text, *v1, *v2;
	} cases[] = {
		{ "5:cpu,cpuacct:/c\n4:memory:/m\n1:name=systemd:/s\n0::/u\n", "/m", "/u" },
		{ "4:hugetlb,memory:/docker/ab:cd\n0::/a b:c\n", "/docker/ab:cd", "/a b:c" },
		{ "0::/kubepods/pod1 (deleted)\n2:memory:/\n", "/", "/kubepods/pod1" },
		{ "4:memoryx:/x\n10:name=memory2:/y\n", NULL, NULL },
		{ "memory\n::\n0:\n0::no-slash\n4:memory:", NULL, NULL },
		{ "", NULL, NULL },
	};
	struct cgroups *v1, *v2;
	char path[64] = "kept";
	size_t i;
	int err;

	(void)state;
	tree_mkdir("/cg/memory");
	tree_mkdir("/cg/unified");
	tree_write("/proc/self/mountinfo", MOUNT_V1);
	v1 = open_tree();
	tree_write("/proc/self/mountinfo", MOUNT_V2);
	v2 = open_tree();
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tree_write("/proc/77/cgroup", cases[i].text);
		err = cgroups__path_of_process(v1, 77, path, sizeof(path));
		assert_int_equal(err, cases[i].v1 ? 0 : -EBADMSG);
		if (!err)
			assert_string_equal(path, cases[i].v1);
		err = cgroups__path_of_process(v2, 77, path, sizeof(path));
		assert_int_equal(err, cases[i].v2 ? 0 : -EBADMSG);
		if (!err)
			assert_string_equal(path, cases[i].v2);
	}
	strcpy(path, "kept");
	assert_int_equal(cgroups__path_of_process(v2, 78, path, sizeof(path)), -ESRCH);
	tree_write("/proc/77/cgroup", "0::/12345\n");
	assert_int_equal(cgroups__path_of_process(v2, 77, path, 6), -ENAMETOOLONG);
	assert_string_equal(path, "kept");
	assert_int_equal(cgroups__path_of_process(v2, 77, path, 7), 0);
	cgroups__free(v1);
	cgroups__free(v2);
}

static void test_mount_with_blanks_and_root(void **state)
{
	struct cgroups *c;
	uint64_t id;
	char path[64];

	(void)state;
	/* What a container without a cgroup namespace sees on v1: only its own part is mounted. */
	tree_mkdir("/my cg\\x/sub");
	tree_mkdir("/cg/other");
	tree_write("/proc/self/mountinfo",
		   "9 1 0:1 /docker/ab/sub @/cg/other rw - cgroup cgroup rw,memory\n"
		   "9 1 0:1 /docker/ab @/my\\040cg\\134x rw - cgroup cgroup rw,memory\n");
	c = open_tree();
	assert_string_equal(cgroups__mount_point(c), tree_path("/my cg\\x"));
	assert_int_equal(cgroups__id_of_path(c, "/docker/ab/sub", &id), 0);
	assert_int_equal(id, inode_of("/my cg\\x/sub"));
	assert_int_equal(cgroups__path_of_id(c, id, path, sizeof(path)), 0);
	assert_string_equal(path, "/docker/ab/sub");
	assert_int_equal(cgroups__id_of_path(c, "/docker/ab", &id), 0);
	assert_int_equal(cgroups__path_of_id(c, id, path, sizeof(path)), 0);
	assert_string_equal(path, "/docker/ab");
	assert_int_equal(cgroups__id_of_path(c, "/docker/abc", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "/docker", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "/", &id), -ENOENT);
	cgroups__free(c);
}

static void test_namespace(void **state)
{
	struct cgroups *c;
	char path[64];
	uint64_t id;

	(void)state;
	tree_mkdir("/host/docker/me/inner");
	tree_mkdir("/host/docker/other");
	tree_mkdir("/host/system.slice");
	/* Nothing of the outside in reach: what lies outside stays visibly so and has no id. */
	tree_mkdir("/own");
	tree_write("/proc/self/mountinfo", "9 1 0:1 / @/own rw - cgroup2 cgroup2 rw\n");
	tree_write("/proc/5/cgroup", "0::/../other\n");
	c = open_tree();
	expect_process(c, 5, "/../other");
	assert_int_equal(cgroups__id_of_path(c, "/../other", &id), -ENOENT);
	cgroups__free(c);

	/* The host's tree mounted too, and our namespace's root: same inode, so paths can be
	 * joined. */
	tree_remove("/own");
	assert_int_equal(symlink("host/docker/me", tree_path("/own")), 0);
	tree_write("/proc/self/mountinfo", "9 1 0:1 / @/own rw - cgroup2 cgroup2 rw\n"
					   "9 1 0:1 /../.. @/host rw - cgroup2 cgroup2 rw\n");
	tree_write("/proc/6/cgroup", "0::/inner\n");
	tree_write("/proc/7/cgroup", "0::/\n");
	tree_write("/proc/8/cgroup", "0::/../../system.slice\n");
	tree_write("/proc/9/cgroup", "0::/../..\n");
	tree_write("/proc/10/cgroup", "0::/../../../../../beyond\n");
	c = open_tree();
	expect_process(c, 5, "/docker/other");
	expect_process(c, 6, "/docker/me/inner");
	expect_process(c, 7, "/docker/me");
	expect_process(c, 8, "/system.slice");
	expect_process(c, 9, "/");
	expect_process(c, 10, "/beyond");
	assert_int_equal(cgroups__path_of_id(c, inode_of("/host/docker/other"), path, sizeof(path)),
			 0);
	assert_string_equal(path, "/docker/other");
	cgroups__free(c);

	/* Our namespace's root is not mounted: found by looking for ourselves (process 6). */
	tree_write("/proc/self/mountinfo", "9 1 0:1 /../.. @/host rw - cgroup2 cgroup2 rw\n");
	tree_remove("/proc/self/cgroup");
	tree_write("/proc/6/mountinfo", "9 1 0:1 /../.. @/host rw - cgroup2 cgroup2 rw\n");
	tree_remove("/proc/self");
	assert_int_equal(symlink("6", tree_path("/proc/self")), 0);
	tree_write("/host/docker/me/inner/cgroup.procs", "0\n6\n66\n");
	tree_write("/host/docker/other/cgroup.procs", "5\n");
	c = open_tree();
	expect_process(c, 7, "/docker/me");
	expect_process(c, 5, "/docker/other");
	cgroups__free(c);

	/* Nor are we listed: each process is looked for. */
	tree_remove("/host/docker/me/inner/cgroup.procs");
	c = open_tree();
	expect_process(c, 5, "/docker/other");
	expect_process(c, 8, "/system.slice");
	assert_int_equal(cgroups__path_of_process(c, 7, path, sizeof(path)), -ENOENT);
	cgroups__free(c);

	/* Only process 1 has the host's tree. */
	tree_write("/proc/6/mountinfo", "9 1 0:1 / @/own rw - cgroup2 cgroup2 rw\n");
	tree_write("/proc/1/mountinfo", "9 1 0:1 /../.. /host rw - cgroup2 cgroup2 rw\n");
	assert_int_equal(symlink("../..", tree_path("/proc/1/root")), 0);
	c = open_tree();
	expect_process(c, 5, "/docker/other");
	expect_process(c, 6, "/docker/me/inner");
	cgroups__free(c);
}

static void test_ids(void **state)
{
	struct cgroups *c;
	uint64_t id, top;
	char path[64] = "kept", deep[700] = "/cg/unified", name[16];
	int i;

	(void)state;
	tree_mkdir("/cg/unified/a/b/c");
	tree_mkdir("/cg/unified/z");
	tree_write("/cg/unified/a/cgroup.procs", "");
	tree_write("/proc/self/mountinfo", MOUNT_V2);
	assert_int_equal(symlink("..", tree_path("/cg/unified/a/loop")), 0);
	c = open_tree();
	assert_int_equal(cgroups__id_of_path(c, "/", &top), 0);
	assert_int_equal(top, inode_of("/cg/unified"));
	assert_int_equal(cgroups__path_of_id(c, top, path, sizeof(path)), 0);
	assert_string_equal(path, "/");
	assert_int_equal(cgroups__id_of_path(c, "/a/b/c", &id), 0);
	assert_int_equal(cgroups__path_of_id(c, id, path, sizeof(path)), 0);
	assert_string_equal(path, "/a/b/c");
	assert_int_equal(cgroups__path_of_id(c, id, path, 6), -ENAMETOOLONG);
	assert_int_equal(cgroups__path_of_id(c, UINT64_MAX, path, sizeof(path)), -ENOENT);
	assert_string_equal(path, "/a/b/c");

	/* Known, then gone; known, then elsewhere. */
	tree_remove("/cg/unified/a/b/c");
	assert_int_equal(cgroups__path_of_id(c, id, path, sizeof(path)), -ENOENT);
	id = inode_of("/cg/unified/a/b");
	assert_int_equal(cgroups__path_of_id(c, id, path, sizeof(path)), 0);
	assert_int_equal(rename(tree_path("/cg/unified/a/b"), tree_path("/cg/unified/z/y")), 0);
	assert_int_equal(cgroups__path_of_id(c, id, path, sizeof(path)), 0);
	assert_string_equal(path, "/z/y");

	assert_int_equal(cgroups__id_of_path(c, "/a/../z", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "/..", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "/./a", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "z", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "/a/cgroup.procs", &id), -ENOENT);
	assert_int_equal(cgroups__id_of_path(c, "/nope", &id), -ENOENT);

	for (i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "/deep%d", i);
		strcat(deep, name);
	}
	tree_mkdir(deep);
	id = inode_of(deep);
	assert_int_equal(cgroups__path_of_id(c, id, deep, sizeof(deep)), 0);
	assert_string_equal(deep + strlen(deep) - 7, "/deep59");
	cgroups__free(c);
}

struct seen {
	int cnt;
	long sum;
	pid_t stop_at;
};

static int see_process(pid_t tgid, void *arg)
{
	struct seen *s = arg;

	s->cnt++;
	s->sum += tgid;
	return tgid == s->stop_at ? 42 : 0;
}

static int see_path(const char *path, void *arg)
{
	strcat(arg, path);
	strcat(arg, " ");
	/* A cgroup that goes away under the walk. */
	if (!strcmp(path, "/app"))
		tree_remove("/cg/unified/app/w2");
	return 0;
}

static void test_walks(void **state)
{
	struct seen s = { 0 };
	struct cgroups *c;
	char paths[256] = "";

	(void)state;
	tree_write("/cg/unified/cgroup.procs", "1\n2\n");
	tree_write("/cg/unified/app/cgroup.procs", "10\n11\n0\n");
	tree_write("/cg/unified/app/w1/cgroup.procs", "100\n");
	tree_write("/cg/unified/app/w1/x/cgroup.procs", "");
	tree_write("/cg/unified/application/cgroup.procs", "1000\n");
	tree_write("/proc/self/mountinfo", MOUNT_V2);
	c = open_tree();
	assert_int_equal(cgroups__for_each_process(c, "/app", see_process, &s), 0);
	assert_int_equal(s.cnt, 3);
	assert_int_equal(s.sum, 121);
	memset(&s, 0, sizeof(s));
	assert_int_equal(cgroups__for_each_process(c, "/", see_process, &s), 0);
	assert_int_equal(s.sum, 1124);
	s = (struct seen){ .stop_at = 10 };
	assert_int_equal(cgroups__for_each_process(c, "/app", see_process, &s), 42);
	assert_int_equal(s.cnt, 1);
	assert_int_equal(cgroups__for_each_process(c, "/gone", see_process, &s), -ENOENT);

	tree_mkdir("/cg/unified/app/w2/y");
	assert_int_equal(cgroups__for_each(c, "/app", see_path, paths), 0);
	assert_string_equal(paths, "/app /app/w1 /app/w1/x ");
	*paths = '\0';
	tree_remove("/cg/unified/application");
	assert_int_equal(cgroups__for_each(c, NULL, see_path, paths), 0);
	assert_string_equal(paths, "/ /app /app/w1 /app/w1/x ");
	cgroups__free(c);
}

static void test_memory_v2(void **state)
{
	struct cgroup_memory m;
	struct cgroups *c;

	(void)state;
	tree_write("/cg/unified/cgroup.controllers", "memory\n");
	tree_write("/cg/unified/memory.stat", "anon 700\nfile 300\nkernel 50\nshmem 20\n");
	tree_write("/cg/unified/pod/memory.max", "1000\n");
	tree_write("/cg/unified/pod/memory.current", "600\n");
	tree_write("/cg/unified/pod/memory.stat", "anon 1\n");
	tree_write("/cg/unified/pod/app/memory.max", "max\n");
	tree_write("/cg/unified/pod/app/memory.current", "555\n");
	tree_write("/cg/unified/pod/app/memory.peak", "570\n");
	tree_write("/cg/unified/pod/app/memory.stat",
		   "anon 400\nfile 100\nfile_mapped 9\nkernel_stack 1\npagetables 2\npercpu "
		   "4\nslab 8\nshmem 30\nanon_thp 5\n");
	tree_write("/cg/unified/pod/app/memory.events",
		   "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
	tree_mkdir("/cg/unified/pod/app/init");
	tree_write("/cg/unified/pod/bad/memory.max", "lots\n");
	tree_write("/cg/unified/pod/bad/memory.stat", "");
	tree_write("/cg/unified/pod/bad/memory.current", "-5\n");
	tree_write("/proc/self/mountinfo", MOUNT_V2);
	c = open_tree();
	assert_int_equal(cgroups__memory(c, "/pod/app", &m), 0);
	assert_int_equal(m.limit_bytes, 1000);
	assert_int_equal(m.usage_bytes, 555);
	assert_int_equal(m.peak_bytes, 570);
	assert_int_equal(m.anon_bytes, 400);
	assert_int_equal(m.file_bytes, 100);
	assert_int_equal(m.shmem_bytes, 30);
	assert_int_equal(m.kernel_bytes, 15);
	assert_int_equal(m.oom_kills, 2);
	/* No controller of its own: the one above it is charged. */
	assert_int_equal(cgroups__memory(c, "/pod/app/init", &m), 0);
	assert_int_equal(m.usage_bytes, 555);
	assert_int_equal(m.limit_bytes, 1000);

	tree_write("/cg/unified/pod/app/memory.max", "800\n");
	assert_int_equal(cgroups__memory(c, "/pod/app", &m), 0);
	assert_int_equal(m.limit_bytes, 800);
	assert_int_equal(cgroups__memory(c, "/", &m), 0);
	assert_int_equal(m.limit_bytes, CGROUP_NO_LIMIT);
	assert_int_equal(m.usage_bytes, 1050);
	assert_int_equal(m.peak_bytes, 0);

	m.limit_bytes = 7;
	assert_int_equal(cgroups__memory(c, "/pod/bad", &m), -EBADMSG);
	assert_int_equal(cgroups__memory(c, "/pod/gone", &m), -ENOENT);
	assert_int_equal(cgroups__memory(c, "/pod/app/memory.max", &m), -ENOENT);
	assert_int_equal(cgroups__memory(c, "/../unified", &m), -ENOENT);
	assert_int_equal(m.limit_bytes, 7);
	cgroups__free(c);

	tree_write("/cg/unified/cgroup.controllers", "cpu\n");
	c = open_tree();
	assert_int_equal(cgroups__memory(c, "/pod", &m), -ENOTSUP);
	cgroups__free(c);
}

static void test_memory_v1(void **state)
{
	struct cgroup_memory m;
	struct cgroups *c;

	(void)state;
	tree_write("/cg/memory/memory.limit_in_bytes", NO_LIMIT_V1);
	tree_write("/cg/memory/docker/memory.limit_in_bytes", "5000\n");
	tree_write("/cg/memory/docker/a/memory.limit_in_bytes", NO_LIMIT_V1);
	tree_write("/cg/memory/docker/a/memory.usage_in_bytes", "900\n");
	tree_write("/cg/memory/docker/a/memory.max_usage_in_bytes", "950\n");
	tree_write("/cg/memory/docker/a/memory.kmem.usage_in_bytes", "60\n");
	tree_write("/cg/memory/docker/a/memory.oom_control",
		   "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
	tree_write("/cg/memory/docker/a/memory.stat",
		   "cache 1\nrss 2\nshmem 3\ntotal_cache 10\ntotal_rss 20\ntotal_shmem 5\n");
	tree_write("/proc/self/mountinfo", MOUNT_V1 MOUNT_V2);
	c = open_tree();
	assert_int_equal(cgroups__memory(c, "/docker/a", &m), 0);
	assert_int_equal(m.limit_bytes, 5000);
	assert_int_equal(m.usage_bytes, 900);
	assert_int_equal(m.peak_bytes, 950);
	assert_int_equal(m.anon_bytes, 20);
	assert_int_equal(m.file_bytes, 10);
	assert_int_equal(m.shmem_bytes, 5);
	assert_int_equal(m.kernel_bytes, 60);
	assert_int_equal(m.oom_kills, 4);

	/* The kernel's own answer wins: an ancestor outside of what is mounted, or use_hierarchy
	 * off. */
	tree_write("/cg/memory/docker/a/memory.stat",
		   "cache 1\nrss 2\nhierarchical_memory_limit 3000\n");
	assert_int_equal(cgroups__memory(c, "/docker/a", &m), 0);
	assert_int_equal(m.limit_bytes, 3000);
	assert_int_equal(m.anon_bytes, 2);
	tree_write("/cg/memory/docker/a/memory.stat", "hierarchical_memory_limit " NO_LIMIT_V1);
	assert_int_equal(cgroups__memory(c, "/docker/a", &m), 0);
	assert_int_equal(m.limit_bytes, CGROUP_NO_LIMIT);
	/* 64 KiB pages. */
	tree_write("/cg/memory/docker/a/memory.stat",
		   "hierarchical_memory_limit 9223372036854710272\n");
	assert_int_equal(cgroups__memory(c, "/docker/a", &m), 0);
	assert_int_equal(m.limit_bytes, CGROUP_NO_LIMIT);

	tree_remove("/cg/memory/docker/a/memory.usage_in_bytes");
	assert_int_equal(cgroups__memory(c, "/docker/a", &m), -ENOENT);
	assert_int_equal(cgroups__memory(c, "/docker/b", &m), -ENOENT);
	cgroups__free(c);
}

/* A folder, a pipe or a flood in place of a file: an error, never a hang or a crash. */
static void test_hostile_files(void **state)
{
	struct cgroup_memory m;
	struct cgroups *c;
	char path[64], flood[70000];

	(void)state;
	tree_write("/cg/unified/cgroup.controllers", "memory\n");
	tree_write("/cg/unified/a/memory.max", "1\n");
	tree_write("/cg/unified/a/memory.stat",
		   "anon\nfile x\n\n\nshmem -1\nanon 99999999999999999999999\n");
	assert_int_equal(mkfifo(tree_path("/cg/unified/a/memory.current"), 0600), 0);
	tree_write("/proc/self/mountinfo", MOUNT_V2);
	tree_mkdir("/proc/5/cgroup");
	c = open_tree();
	assert_int_equal(cgroups__memory(c, "/a", &m), -EINVAL);
	assert_int_equal(cgroups__path_of_process(c, 5, path, sizeof(path)), -EINVAL);
	memset(flood, 'x', sizeof(flood) - 1);
	flood[sizeof(flood) - 1] = '\0';
	tree_write("/proc/6/cgroup", flood);
	assert_int_equal(cgroups__path_of_process(c, 6, path, sizeof(path)), -EFBIG);
	memcpy(flood, "0::/", 4);
	flood[5000] = '\0';
	tree_write("/proc/7/cgroup", flood);
	assert_int_equal(cgroups__path_of_process(c, 7, path, sizeof(path)), -ENAMETOOLONG);
	assert_int_equal(cgroups__memory(c, flood + 3, &m), -ENAMETOOLONG);
	cgroups__free(c);
}

static int is_self(pid_t tgid, void *arg)
{
	(void)arg;
	return tgid == getpid();
}

/* This machine, if it has cgroups. */
static void test_this_machine(void **state)
{
	struct cgroup_memory m;
	struct cgroups *c;
	char path[4096], again[4096];
	uint64_t id;
	int err;

	(void)state;
	if (cgroups__new(NULL, &c))
		skip();
	assert_int_equal(cgroups__path_of_process(c, getpid(), path, sizeof(path)), 0);
	if (cgroups__id_of_path(c, path, &id)) {
		cgroups__free(c);
		skip();
	}
	assert_int_equal(cgroups__path_of_id(c, id, again, sizeof(again)), 0);
	assert_string_equal(again, path);
	assert_int_equal(cgroups__for_each_process(c, path, is_self, NULL), 1);
	err = cgroups__memory(c, path, &m);
	if (!err) {
		assert_true(m.usage_bytes > 0);
		assert_true(m.limit_bytes > 0);
	} else {
		assert_int_equal(err, -ENOTSUP);
	}
	cgroups__free(c);
}

int main(void)
{
#define IN_TREE(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)
	const struct CMUnitTest tests[] = {
		IN_TREE(test_mode),
		IN_TREE(test_path_of_process),
		IN_TREE(test_mount_with_blanks_and_root),
		IN_TREE(test_namespace),
		IN_TREE(test_ids),
		IN_TREE(test_walks),
		IN_TREE(test_memory_v2),
		IN_TREE(test_memory_v1),
		IN_TREE(test_hostile_files),
		cmocka_unit_test(test_this_machine),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
