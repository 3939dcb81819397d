# man
dist_man_MANS += %D%/omsub.1 %D%/omq.1 %D%/omdel.1 %D%/omhold.1 %D%/omrelease.1 %D%/omsig.1 %D%/omwait.1 %D%/omctl.1 %D%/omckpt.1 \
	%D%/openmosix-job.5 %D%/openmosix.7
