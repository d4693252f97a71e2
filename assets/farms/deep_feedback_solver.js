// SPDX-License-Identifier: CC0-1.0
// Job type for Flamenco 3: solves a job file of the extension Deep Feedback Solver in shards, each a task.
// Put it into the manager's folder "scripts".

const JOB_TYPE = {
    label: "Deep Feedback Solver",
    settings: [
        {
            key: "job_file",
            type: "string",
            subtype: "file_path",
            required: true,
            description: "The job, a JSON file that every worker sees",
        },
        {
            key: "output_folder",
            type: "string",
            subtype: "dir_path",
            required: true,
            description: "Folder of the results, the same for every worker",
        },
        {
            key: "shards",
            type: "int32",
            default: 16,
            propargs: { min: 1, max: 9999 },
            description: "Parts that the job is solved in; each starts Blender once",
        },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    for (let number = 1; number <= settings.shards; number++) {
        const shard = `${number}/${settings.shards}`;
        const task = author.Task(`shard ${number} of ${settings.shards}`, "blender");
        task.addCommand(
            author.Command("exec", {
                exe: "{blender}",
                args: [
                    "-b", "-c", "deep_feedback", settings.job_file, "--out", settings.output_folder,
                    "--shard", shard, "--accept-all",
                ],
            }),
        );
        job.addTask(task);
    }
}
